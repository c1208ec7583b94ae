"""One boto3 client per process, endpoint and region; bounded retries, bounded waits."""

import os
import random
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import boto3.session
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    ResponseStreamingError,
)
from botocore.utils import parse_timestamp

from segmentation.errors import UsageError
from tasks.s3_errors import told

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BODY_ERRORS = (FlexibleChecksumError, HTTPClientError, IncompleteReadError, ResponseStreamingError)
"""What a body that breaks off, stalls or arrives changed raises; boto3 does not ask again for these."""

BODY_TRIES = 4
"""How often a body is asked for."""

_LONGEST_PAUSE_S = 8.0
_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 6},
    connect_timeout=5,
    read_timeout=30,
    max_pool_connections=32,
    signature_version="s3v4",
)
_clients: dict[tuple[int, str | None, str | None], "S3Client"] = {}
_making = threading.Lock()
_Result = TypeVar("_Result")


def s3_client(*, endpoint_url: str | None, region: str | None) -> "S3Client":
    """The client of this process, made at the first call; credentials from the standard AWS chain.

    Raises UsageError E_S3_ENDPOINT for an endpoint that is no URL.
    """
    # A client that went through a fork shares its sockets with the parent: one per process.
    key = (os.getpid(), endpoint_url, region)
    with _making:
        if key not in _clients:
            _clients[key] = _make(endpoint_url, region)
        return _clients[key]


def pause(failures: int) -> None:
    """Wait before the next try: exponential in the failures so far, with full jitter."""
    time.sleep(random.uniform(0, min(_LONGEST_PAUSE_S, 0.25 * 2**failures)))


def again_on_broken_bodies(request: Callable[[], _Result]) -> _Result:
    """Result of `request`, asked for up to `BODY_TRIES` times while the answer's body does not arrive whole."""
    for failures in range(1, BODY_TRIES):
        try:
            return request()
        except BODY_ERRORS:
            pause(failures)
    return request()


def _make(endpoint_url: str | None, region: str | None) -> "S3Client":
    # Path-style addresses, since a server at an address of its own has no name per bucket.
    config = _CONFIG if endpoint_url is None else _CONFIG.merge(Config(s3={"addressing_style": "path"}))
    try:
        session = boto3.session.Session(botocore_session=_core_session())
        return session.client(
            "s3", endpoint_url=endpoint_url, region_name=region or session.region_name or "us-east-1", config=config
        )
    except ValueError as error:
        raise UsageError(
            "E_S3_ENDPOINT",
            "SPANSCAN_S3_ENDPOINT_URL",
            f"it must be a URL such as http://127.0.0.1:9000, got {endpoint_url!r}",
            "mend the setting",
        ) from error
    except BotoCoreError as error:
        raise told(error, "s3", endpoint_url=endpoint_url, region=region) from error


def _core_session() -> botocore.session.Session:
    """A session whose answers' dates are read as what they are, ISO 8601; guessing took two thirds of a listing."""
    session = botocore.session.get_session()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_timestamp)
    return session


def _timestamp(text: Any) -> datetime:
    """The time that a server wrote, as botocore reads it.

    >>> _timestamp("2026-11-22T21:38:12.000Z") == _timestamp("Sun, 22 Nov 2026 21:38:12 GMT") == _timestamp(1795383492)
    True
    """
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return parse_timestamp(text)
    return found if found.tzinfo is not None else parse_timestamp(text)
