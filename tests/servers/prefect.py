"""One Prefect API and one small sample survey as fixtures: each is made once in a session of tests."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest

from flows.prefect_home import prefect_api, tell_events_to
from tasks.sample_survey import SampleTruth, write_sample_survey


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """spanscan's own folder, apart from the user's, with a Prefect database that is laid out already."""
    home = tmp_path_factory.mktemp("home")
    (home / "prefect").mkdir()
    cache = pytestconfig.cache.mkdir("prefect") if hasattr(pytestconfig, "cache") else None
    shutil.copyfile(laid_out_database(cache or tmp_path_factory.mktemp("prefect")), home / "prefect" / "prefect.db")
    return home


def laid_out_database(folder: Path) -> Path:
    """An empty database of the installed Prefect in `folder`, made where it is not there yet."""
    made = folder / f"{version('prefect')}.db"
    if not made.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
            environment |= {"PREFECT_HOME": work, "PREFECT_PROFILES_PATH": f"{work}/none.toml"}
            command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
            subprocess.run(command, env=environment, check=True, capture_output=True)
            with (
                closing(sqlite3.connect(f"{work}/prefect.db")) as laid_out,
                closing(sqlite3.connect(f"{work}/copy.db")) as copy,
            ):
                laid_out.backup(copy)  # with what still lies in its log
            Path(work, "copy.db").replace(made)  # whole, whoever else makes it now
    return made


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
            from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

            refresh_global_settings_context()
            tell_events_to(url)  # tests ask what Prefect was told, which a server of one command is not
            with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):  # each run would wait a second for it
                assert PREFECT_API_URL.value() == url, "this process and those it starts must speak to one server"
                yield url
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SampleTruth]:
    """A small sample survey in a folder, with its truth."""
    folder = tmp_path_factory.mktemp("survey") / "sample"
    return folder, write_sample_survey(folder, seed=11, scale=0.25)
