"""Whole copies of pinned S3 objects on the local disk, each fetched once; local files are read in place.

libtiff gives damaged pixels without a word, and an object that is replaced while GDAL reads it over the network
gives two versions mixed. So what GDAL sees is always a whole local file whose checksum was verified.
"""

import hashlib
import shutil
import threading
from dataclasses import replace
from pathlib import Path, PurePosixPath

from segmentation.records import SourceObject
from tasks.crash_points import reached
from tasks.file_lock import file_lock
from tasks.storage import ObjectInfo, Storage, open_storage
from tasks.storage_local import check_local_pin, disk_full, file_sha256, pin_local, telling_os_errors

_SPARE_BYTES = 64 << 20
"""Free space that a download leaves to others."""

_verified: set[tuple[Path, int, str]] = set()
_verifying = threading.Lock()


def staged(source: SourceObject, *, staging_dir: Path, endpoint_url: str | None, region: str | None) -> Path:
    """A local file with exactly the pinned content; safe with several threads and processes at once.

    A local source is used where it is. Raises RunFailed E_CHANGED where the source is no longer the pinned one,
    InputRejected E_CHECKSUM, RunFailed E_DISK_FULL; no partial file is left.
    """
    if not source.uri.startswith("s3://"):
        return check_local_pin(source)
    path = _place_of(source, staging_dir, source.sha256)
    if not _is_intact(path, source):
        bucket = source.uri.removeprefix("s3://").split("/")[0]
        storage = open_storage(f"s3://{bucket}", endpoint_url=endpoint_url, region=region)
        _fetch(storage, source, staging_dir)
    return path


def pin_and_stage(
    storage: Storage, found: ObjectInfo, *, staging_dir: Path, with_sha256: bool = True
) -> tuple[SourceObject, Path]:
    """Pin an object of a storage as it is now, and a local file with its content.

    A local file gets no SHA-256 where `with_sha256` is off: then the pin is good for a look, not for a run.
    """
    uri = storage.uri(found.key)
    if not uri.startswith("s3://"):
        return _pin_local(Path(uri), with_sha256=with_sha256)
    now = storage.head(found.key)
    unhashed = SourceObject(uri, now.size_bytes, now.etag, now.version_id, sha256="")
    known = _remembered_sha256(unhashed, staging_dir)
    if known is not None:
        source = replace(unhashed, sha256=known)
        path = _place_of(source, staging_dir, known)
        if _is_intact(path, source):
            return source, path
    return _fetch(storage, unhashed, staging_dir)


def _pin_local(path: Path, *, with_sha256: bool) -> tuple[SourceObject, Path]:
    with telling_os_errors(str(path)):
        size_bytes, etag = pin_local(path)
        path.open("rb").close()  # what may not be read is told here, and not as a raster that does not decode
        source = SourceObject(str(path), size_bytes, etag, None, file_sha256(path) if with_sha256 else "")
    return source, check_local_pin(source)


def _fetch(storage: Storage, source: SourceObject, staging_dir: Path) -> tuple[SourceObject, Path]:
    """Download under a lock of the pin, so that one of several callers does it; (source with SHA-256, path)."""
    pin = _pin_name(source)
    partial = staging_dir / f"{pin}.part"
    with file_lock(staging_dir / f"{pin}.lock"):
        known = source.sha256 or _remembered_sha256(source, staging_dir)
        if known:
            path = _place_of(source, staging_dir, known)
            if _is_intact(path, source):
                return replace(source, sha256=known), path
        try:
            free_bytes = shutil.disk_usage(staging_dir).free
            if free_bytes < source.size_bytes + _SPARE_BYTES:
                raise disk_full(partial, needed_bytes=source.size_bytes + _SPARE_BYTES)
            sha256 = storage.download(source, partial)
            path = _place_of(source, staging_dir, sha256)
            reached("before_staged_rename")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        _remember(path)
        reached("after_staged_rename")
        (staging_dir / f"{pin}.sha256").write_text(sha256)
        return replace(source, sha256=sha256), path


def _pin_name(source: SourceObject) -> str:
    pin = f"{source.uri}\n{source.version_id}\n{source.etag}\n{source.size_bytes}"
    return hashlib.sha256(pin.encode()).hexdigest()[:40]


def _place_of(source: SourceObject, staging_dir: Path, sha256: str) -> Path:
    """Where the content lies: named by its SHA-256, so that equal files are kept once."""
    if not sha256:
        raise ValueError(f"a source must be pinned with its SHA-256 before it is staged, got none for {source.uri}")
    suffix = PurePosixPath(source.name).suffix.lower()
    return staging_dir / f"{sha256}{suffix if suffix[1:].isalnum() and suffix.isascii() else ''}"


def _remembered_sha256(source: SourceObject, staging_dir: Path) -> str | None:
    """The SHA-256 that this pin had when it was fetched; only a hint, verified against the content."""
    try:
        text = (staging_dir / f"{_pin_name(source)}.sha256").read_text(encoding="ascii")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return text if len(text) == 64 and text.isalnum() else None


def _is_intact(path: Path, source: SourceObject) -> bool:
    """Whether the staged file is there and whole: hashed once per process, then known by its size and time."""
    try:
        size_bytes, etag = pin_local(path)
    except FileNotFoundError:
        return False
    sha256 = path.name.split(".")[0]
    key = (path, size_bytes, etag)
    with _verifying:
        if key in _verified:
            return True
    if size_bytes != source.size_bytes or file_sha256(path) != sha256:
        return False
    _remember(path)
    return True


def _remember(path: Path) -> None:
    with _verifying:
        _verified.add((path, *pin_local(path)))
