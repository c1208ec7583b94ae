"""moto, the server that the demo embeds."""

from collections.abc import Iterator
from contextlib import contextmanager

from tasks.s3_server import EmbeddedS3, embedded_s3
from tests.servers.running import RunningS3


@contextmanager
def moto() -> Iterator[RunningS3]:
    """A server on a free port of loopback."""
    with embedded_s3() as server:
        yield running_moto(server)


def running_moto(server: EmbeddedS3) -> RunningS3:
    """The embedded server as one of several."""
    return RunningS3("moto", server.endpoint_url, server.environment, (server.process_id,), True, None)
