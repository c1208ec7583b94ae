"""What a test needs to know of a running S3 server."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tasks.child_process import free_port

HOST = "127.0.0.1"


class NotInstalledError(RuntimeError):
    """The server is not on this machine; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class RunningS3:
    """A server on loopback that ends with its owner."""

    name: str
    endpoint_url: str
    """``http://127.0.0.1:port``."""
    environment: Mapping[str, str]
    """What the AWS chain of a client needs: credentials of the bucket's owner, a region, and no other source."""
    process_ids: tuple[int, ...]
    has_queues: bool
    """Whether SQS is beside it and buckets tell queues of their objects."""
    stranger: Mapping[str, str] | None
    """Credentials of somebody who may see nothing of the owner's; None where none are checked."""


def aws_environment(access_key: str, secret_key: str) -> dict[str, str]:
    """The environment of a client with these keys and no other source of them."""
    return {
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_SESSION_TOKEN": "",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": f"{HOST},localhost",
        "no_proxy": f"{HOST},localhost",
    }


@contextmanager
def own_folder(server: str) -> Iterator[Path]:
    """A folder for a server's files, taken away at the end; one whose owner was killed goes with the next start."""
    root = Path(tempfile.gettempdir())
    for left in root.glob(f"spanscan-{server}-*-*"):
        if not psutil.pid_exists(int(left.name.split("-")[2])):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"spanscan-{server}-{os.getpid()}-") as folder:
        yield Path(folder)


def free_ports(count: int) -> list[int]:
    """Different TCP ports on loopback that nobody listens on now."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return sorted(found)
