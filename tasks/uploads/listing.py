"""What lies in an inbox, survey by survey, as a stream; and objects with the dates that their server gives them."""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from segmentation.errors import InputRejected
from tasks.s3_client import s3_client
from tasks.s3_errors import http_status, is_not_found, telling_s3_errors
from tasks.storage import Storage, printable
from tasks.storage_local import LocalStorage, last_change, telling_os_errors
from tasks.storage_s3 import S3Storage
from tasks.uploads.completeness import Upload, UploadedFile, survey_and_file

log = logging.getLogger("spanscan.uploads")

_OWN_PREFIX = ".spanscan-"
"""What spanscan itself writes into folders: temporaries and locks."""


@dataclass(frozen=True, slots=True)
class DatedObject:
    """An object with its date and the present, both by the clock of the server that keeps it."""

    data: bytes
    modified_at: datetime
    now: datetime


def uploads(inbox: Storage, *, only: str | None = None) -> Iterator[Upload]:
    """The uploads in an inbox, in the order of their names as S3 sorts them; of one survey where `only` names it.

    One listing, a page of 1,000 at a time; held is one survey. Raises as `Storage.list` does.
    """
    if isinstance(inbox, S3Storage):
        return _in_bucket(inbox, only)
    if isinstance(inbox, LocalStorage):
        return _in_folder(inbox.root, only)
    raise TypeError(f"an inbox must be a bucket or a folder, got {type(inbox).__name__}")


def folders(storage: Storage) -> Iterator[str]:
    """Names of the prefixes or folders directly below a storage, none of those that begin with a dot.

    Raises as `Storage.list` does.
    """
    if not isinstance(storage, S3Storage):
        root = Path(storage.uri(""))
        if root.is_dir():
            yield from (entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))
        return
    for page in _pages(storage, storage.prefix, Delimiter="/"):
        for one in page.get("CommonPrefixes", ()):
            name = one["Prefix"].removeprefix(storage.prefix).rstrip("/")
            if name and not name.startswith("."):
                yield name


def read_dated(storage: Storage, key: str) -> DatedObject | None:
    """An object with its dates; None where there is none."""
    if not isinstance(storage, S3Storage):
        path = Path(storage.uri(key))
        try:
            data = storage.read(key)
            return DatedObject(data, datetime.fromtimestamp(path.stat().st_mtime, UTC), datetime.now(UTC))
        except (InputRejected, FileNotFoundError) as error:
            if isinstance(error, InputRejected) and error.code != "E_NOT_FOUND":
                raise
            return None
    client = s3_client(endpoint_url=storage.endpoint_url, region=storage.region)
    with telling_s3_errors(storage.uri(key), endpoint_url=storage.endpoint_url, region=storage.region):
        try:
            answer = client.get_object(Bucket=storage.bucket, Key=storage.prefix + key)
        except ClientError as error:
            if is_not_found(error):
                return None
            raise
        return DatedObject(answer["Body"].read(), answer["LastModified"], _server_time(answer))


def _in_bucket(inbox: S3Storage, only: str | None) -> Iterator[Upload]:
    below = inbox.prefix if only is None else f"{inbox.prefix}{only}/"
    in_parts = _put_in_parts(inbox, below)
    clock = [datetime.now(UTC)]
    found = _objects(inbox, below, clock)
    for name, group in groupby(found, key=lambda one: one[0]):
        files = tuple(file for _, file in group)
        yield Upload(name, files, clock[0], name in in_parts)


def _objects(inbox: S3Storage, below: str, clock: list[datetime]) -> Iterator[tuple[str, UploadedFile]]:
    """(survey, file) of the objects that belong to a survey; `clock` holds the server's time of the last page."""
    for page in _pages(inbox, below):
        clock[0] = _server_time(page)
        for one in page.get("Contents", ()):
            place = survey_and_file(one["Key"], prefix=inbox.prefix)
            if place is not None:
                yield place[0], UploadedFile(place[1], one["Size"], one["ETag"].strip('"'), one["LastModified"])


def _pages(storage: S3Storage, below: str, **further: str) -> Iterator[Any]:
    """Answers to the requests of one listing, 1,000 keys each, fetched as they are needed."""
    client = s3_client(endpoint_url=storage.endpoint_url, region=storage.region)
    found = client.get_paginator("list_objects_v2").paginate(Bucket=storage.bucket, Prefix=below, **further)  # type: ignore[arg-type]
    pages = iter(found)
    while True:
        with telling_s3_errors(
            f"s3://{storage.bucket}/{below}", endpoint_url=storage.endpoint_url, region=storage.region
        ):
            page = next(pages, None)
        if page is None:
            return
        yield page


def _put_in_parts(inbox: S3Storage, below: str) -> frozenset[str]:
    """Surveys for which a file is being put in parts; none where the server does not tell us."""
    client = s3_client(endpoint_url=inbox.endpoint_url, region=inbox.region)
    names: set[str] = set()
    try:
        for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=inbox.bucket, Prefix=below):
            places = (survey_and_file(one["Key"], prefix=inbox.prefix) for one in page.get("Uploads", ()))
            names.update(place[0] for place in places if place is not None)
    except ClientError as error:
        # It asks for a permission of its own, and some servers do not know it: files then count when they are there.
        if http_status(error) not in (400, 403, 405, 501):
            with telling_s3_errors(
                f"s3://{inbox.bucket}/{below}", endpoint_url=inbox.endpoint_url, region=inbox.region
            ):
                raise
    return frozenset(names)


def _server_time(answer: Any) -> datetime:
    stated = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(stated) if stated else datetime.now(UTC)


def _in_folder(root: Path, only: str | None) -> Iterator[Upload]:
    if only is not None:
        with telling_os_errors(str(root / only)):
            files = _local_files(root / only)
        if files:
            yield Upload(only, files, datetime.now(UTC))
        return
    with telling_os_errors(str(root)):
        names = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    for name in names:
        try:
            files = _local_files(root / name)
        except OSError as error:  # the other surveys are none the worse for it
            log.warning("%s: left out of the inbox, its folder cannot be listed: %s", printable(name), error.strerror)
            continue
        if files:
            yield Upload(name, files, datetime.now(UTC))


def _local_files(folder: Path) -> tuple[UploadedFile, ...]:
    """What belongs to the survey in a folder, in the order of the names; a link in a circle is no file."""
    if not folder.is_dir():
        return ()
    found = [
        path
        for path in sorted(folder.iterdir(), key=os.fsencode)
        if not path.name.startswith(_OWN_PREFIX)
        and survey_and_file(f"{folder.name}/{path.name}", prefix="") is not None
    ]
    return tuple(file for path in found if (file := _local_file(path)) is not None)


def _local_file(path: Path) -> UploadedFile | None:
    """None for what is no file, or no more."""
    try:
        if not path.is_file():
            return None
        status = path.stat()
    except FileNotFoundError:
        return None
    return UploadedFile(path.name, status.st_size, f"{status.st_mtime_ns}-{status.st_size}", last_change(status))
