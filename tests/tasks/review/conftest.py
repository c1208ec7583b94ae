"""One published run for all tests of the review, and a copy of it for each."""

from pathlib import Path

import pytest

from tests.tasks.review.runs import Reviewed, opened, published_once


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a survey with one run; only to be read."""
    return published_once(tmp_path_factory.mktemp("published"))


@pytest.fixture
def reviewed(published: Path, tmp_path: Path) -> Reviewed:
    """A copy of that run that the test may decide on."""
    return opened(published, tmp_path)
