"""The S3 servers as fixtures: each is started once in a session of tests, when the first test asks for it."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tasks.s3_client import s3_client
from tasks.s3_server import EmbeddedS3
from tests.servers.ministack import ministack
from tests.servers.moto import running_moto
from tests.servers.rgw import ceph_rgw
from tests.servers.running import NotInstalledError, RunningS3

SERVER_NAMES = [
    "moto",
    pytest.param("ministack", marks=pytest.mark.slow),
    pytest.param("rgw", marks=pytest.mark.slow),
]


def _or_skip(start: Callable[[], AbstractContextManager[RunningS3]]) -> Iterator[RunningS3]:
    try:
        context = start()
        server = context.__enter__()
    except NotInstalledError as error:
        pytest.skip(str(error))
    try:
        yield server
    finally:
        context.__exit__(None, None, None)


@pytest.fixture(scope="session")
def moto_server(s3_server: EmbeddedS3) -> RunningS3:
    """The embedded server."""
    return running_moto(s3_server)


@pytest.fixture(scope="session")
def ministack_server() -> Iterator[RunningS3]:
    """ministack, or a skip that says what is missing."""
    yield from _or_skip(ministack)


@pytest.fixture(scope="session")
def rgw_server() -> Iterator[RunningS3]:
    """Ceph's gateway, or a skip that says what is missing."""
    yield from _or_skip(ceph_rgw)


def use(server: RunningS3, monkeypatch: pytest.MonkeyPatch) -> RunningS3:
    """Let the AWS chain find the owner's credentials on this server."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(name, raising=False)
    return server


@pytest.fixture(params=SERVER_NAMES)
def any_s3(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> RunningS3:
    """Each S3 server in turn, with the environment set that its clients need."""
    return use(request.getfixturevalue(f"{request.param}_server"), monkeypatch)


@pytest.fixture
def any_bucket(any_s3: RunningS3, request: pytest.FixtureRequest) -> str:
    """A new bucket of the server, without versions."""
    return new_bucket(any_s3, request.node.nodeid)


def new_bucket(server: RunningS3, seed: str, *, versioned: bool = False) -> str:
    """A new bucket, named by the test that asks for it."""
    name = f"test-{hashlib.sha256(seed.encode()).hexdigest()[:24]}"
    client = s3_client(endpoint_url=server.endpoint_url, region=None)
    client.create_bucket(Bucket=name)
    if versioned:
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name
