"""One painted pair of surveys for all tests that compare or write it: measured, published and compared once."""

from collections.abc import Iterator

import pytest
from distributed import Client

from segmentation.comparison.similarity import Similarity
from segmentation.synthetic.survey_pairs import survey_pair
from tasks.cluster import dask_client
from tasks.compare.compare import RunComparison
from tests.tasks.compare.published_pairs import PublishedPair, compared, published_pair


@pytest.fixture(scope="package")
def client() -> Iterator[Client]:
    with dask_client(scheduler=None, workers=2) as client:
        yield client


@pytest.fixture(scope="package")
def pair(client: Client, tmp_path_factory: pytest.TempPathFactory) -> PublishedPair:
    error = Similarity(1.028, -1.9, 0.034, 0.03)
    return published_pair(tmp_path_factory.mktemp("pair"), survey_pair(21, error=error, newer_gsd_m=0.0018), client)


@pytest.fixture(scope="package")
def comparison(pair: PublishedPair) -> RunComparison:
    return compared(pair.older, pair.newer, pair.folder)
