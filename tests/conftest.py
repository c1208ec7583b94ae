"""Fixtures that several packages of tests share."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tasks.s3_server import EmbeddedS3, embedded_s3
from tests.servers.fixtures import any_bucket, any_s3, ministack_server, moto_server, rgw_server  # noqa: F401

# Here and nowhere else: imported into two folders a fixture is two, each with a server of its own, and a process that a
# test starts would speak to another server than the test does.
from tests.servers.prefect import home, prefect, sample  # noqa: F401
from tests.servers.small_disk import disk  # noqa: F401

# No deadline: on a shared machine the time of one example says nothing. `--hypothesis-profile long` looks harder.
settings.register_profile("quick", deadline=None, max_examples=40)
settings.register_profile("long", deadline=None, max_examples=2000)
settings.load_profile("quick")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[EmbeddedS3]:
    """An S3 server in a process of its own on loopback, with the environment set that its clients need."""
    with embedded_s3() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        for name in ("AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.delenv(name, raising=False)
        yield server
