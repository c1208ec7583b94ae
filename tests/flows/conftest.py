"""One Prefect API and one small sample survey for all tests of the flows."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.prefect_home import prefect_api
from tasks.sample_survey import SampleTruth, write_sample_survey


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """spanscan's own folder, apart from the user's."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def prefect(home: Path) -> Iterator[str]:
    """The embedded Prefect server, as the command line starts it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [n for n in os.environ if n.startswith("PREFECT_")]:
            patch.delenv(name)
        patch.setenv("PREFECT_PROFILES_PATH", str(home / "none.toml"))
        before = dict(os.environ)
        with prefect_api(home=home) as url:
            # Prefect keeps the settings it saw when it was imported, which collecting the tests may have done.
            from prefect.context import refresh_global_settings_context

            refresh_global_settings_context()
            yield url
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SampleTruth]:
    """A small sample survey in a folder, with its truth."""
    folder = tmp_path_factory.mktemp("survey") / "sample"
    return folder, write_sample_survey(folder, seed=11, scale=0.25)
