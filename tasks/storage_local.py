"""A local folder as a storage, with the semantics of S3: whole objects, put in place in one step."""

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Self

from segmentation.errors import RunFailed, SpanscanError
from segmentation.records import SourceObject
from tasks.crash_points import reached
from tasks.file_lock import file_lock
from tasks.s3_errors import not_found
from tasks.storage_base import ObjectInfo, Storage, SwapOutcome, check_key

_TEMPORARY_PREFIX = ".spanscan-"
_COPY_STEP_BYTES = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_IN_WORDS = re.compile("no space left|disk is full|disk quota exceeded", re.IGNORECASE)
_LEAST_FREE_BYTES = 1 << 16
"""A disk with less is full to whoever failed to write there."""


@dataclass(frozen=True, slots=True)
class LocalStorage(Storage):
    """A folder; keys are paths below it. The folder need not exist until something is written."""

    root: Path
    """Absolute."""

    def list(self, prefix: str, *, recursive: bool) -> Iterator[ObjectInfo]:
        """See `Storage.list`; only regular files, and none of the storage's own temporaries."""
        folder = self.root / prefix
        with telling_os_errors(str(folder)):
            if not folder.is_dir():
                return
            found = sorted(_files_below(folder, recursive=recursive), key=lambda path: os.fsencode(path.as_posix()))
        for path in found:
            try:
                yield _info(path, path.relative_to(self.root).as_posix())
            except FileNotFoundError:
                continue

    def head(self, key: str) -> ObjectInfo:
        """See `Storage.head`."""
        path = self._path(key)
        with telling_os_errors(str(path)):
            if not path.is_file():
                raise not_found(str(path))
            return _info(path, key)

    def read(self, key: str) -> bytes:
        """See `Storage.read`."""
        path = self._path(key)
        with telling_os_errors(str(path)):
            if not path.is_file():
                raise not_found(str(path))
            return path.read_bytes()

    def write(self, key: str, data: bytes, *, content_type: str) -> str:  # noqa: ARG002 - a folder keeps no content type
        """See `Storage.write`."""
        return self._put(key, lambda handle: _write_all(handle, data))

    def upload(self, path: Path, key: str, *, content_type: str = "") -> None:  # noqa: ARG002 - see `write`
        """See `Storage.upload`."""
        with path.open("rb") as source:
            self._put(key, lambda handle: shutil.copyfileobj(source, handle, _COPY_STEP_BYTES))

    def download(self, source: SourceObject, path: Path) -> str:
        """See `Storage.download`."""
        origin = Path(source.uri)
        _check_pin(source, origin)
        with telling_os_errors(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(origin, path)
        found = file_sha256(path)
        _check_pin(source, origin)
        if source.sha256 and found != source.sha256:
            raise changed(source, f"its SHA-256 is {found}")
        return found

    def exists(self, key: str) -> bool:
        """See `Storage.exists`."""
        return self._path(key).is_file()

    def delete(self, key: str) -> None:
        """See `Storage.delete`."""
        path = self._path(key)
        with telling_os_errors(str(path)):
            path.unlink(missing_ok=True)

    def swap(self, key: str, data: bytes, *, expected: str | None) -> SwapOutcome:
        """See `Storage.swap`; the comparison and the write are one step under a lock of the file."""
        path = self._path(key)
        with telling_os_errors(str(path)), file_lock(path.with_name(f"{_TEMPORARY_PREFIX}{path.name}.lock")):
            before = path.stat() if path.is_file() else None
            current = None if before is None else _etag(before)
            if current != expected:
                return SwapOutcome(swapped=False, etag=current)
            later_than_ns = 0 if before is None else before.st_mtime_ns
            return SwapOutcome(
                swapped=True, etag=self._put(key, lambda h: _write_all(h, data), later_than_ns=later_than_ns)
            )

    def uri(self, key: str) -> str:
        """See `Storage.uri`."""
        return str(self._path(key) if key else self.root)

    def child(self, prefix: str) -> Self:
        """See `Storage.child`."""
        return type(self)(self._path(prefix.rstrip("/")))

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    def _put(self, key: str, fill: Callable[[IO[bytes]], object], *, later_than_ns: int = 0) -> str:
        """Write a temporary beside the target, sync it and rename it over the target; the new entity tag."""
        path = self._path(key)
        with telling_os_errors(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            number, name = tempfile.mkstemp(prefix=_TEMPORARY_PREFIX, suffix=".tmp", dir=path.parent)
            try:
                with os.fdopen(number, "wb") as handle:
                    fill(handle)
                    handle.flush()
                    os.fsync(number)
                    os.fchmod(number, 0o666 & ~_umask())
                    # A file system's clock ticks more coarsely than two swaps: equal tags would hide the first.
                    if os.fstat(number).st_mtime_ns <= later_than_ns:
                        os.utime(number, ns=(later_than_ns + 1, later_than_ns + 1))
                    etag = _etag(os.fstat(number))
                reached("before_rename")
                Path(name).replace(path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
            return etag


def pin_local(path: Path) -> tuple[int, str]:
    """Size in bytes and entity tag of a local file as they are now."""
    status = path.stat()
    return status.st_size, _etag(status)


def check_local_pin(source: SourceObject) -> Path:
    """The path of a local source, if it is still the pinned one; raises RunFailed E_CHANGED."""
    path = Path(source.uri)
    _check_pin(source, path)
    return path


def changed(source: SourceObject, got: str) -> RunFailed:
    """The failure of a run whose input is no longer what was pinned."""
    return RunFailed(
        "E_CHANGED",
        source.uri,
        f"the object must stay as it was when the run began, got another one: {got}",
        "run it again once the upload is complete",
    )


def disk_full(path: Path, *, needed_bytes: int | None) -> RunFailed:
    """The failure of a run that found no space for `path`."""
    folder = _folder_above(path)
    free_bytes = shutil.disk_usage(folder).free
    needed = "more" if needed_bytes is None else f"{needed_bytes} bytes"
    cause = f"the disk must have room for {needed}, got {free_bytes} bytes free in {folder}"
    return RunFailed("E_DISK_FULL", str(path), cause, "free some space there or name another folder, and run it again")


def _folder_above(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.is_dir())


@contextmanager
def telling_full_disk(path: Path) -> Iterator[None]:
    """Tell a disk that is full where a library writes below `path`: RunFailed E_DISK_FULL; other errors pass."""
    try:
        yield
    except SpanscanError:
        raise
    except Exception as error:
        # Libraries in C say it in words, and some of something else that follows from it.
        is_told = (isinstance(error, OSError) and error.errno in _FULL) or _FULL_IN_WORDS.search(str(error))
        if not is_told and shutil.disk_usage(_folder_above(path)).free >= _LEAST_FREE_BYTES:
            raise
        raise disk_full(path, needed_bytes=None) from error


@contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """A folder for temporary files, gone at the end; raises RunFailed E_DISK_FULL for what finds no room there."""
    with (
        telling_full_disk(Path(tempfile.gettempdir())),
        tempfile.TemporaryDirectory(prefix=prefix) as name,
        telling_full_disk(Path(name)),  # while what fills the disk still lies there
    ):
        yield Path(name)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _check_pin(source: SourceObject, path: Path) -> None:
    try:
        size_bytes, etag = pin_local(path)
    except FileNotFoundError as error:
        raise changed(source, "the file is gone") from error
    except OSError as error:
        raise _told(error, str(path)) from error
    if (size_bytes, etag) != (source.size_bytes, source.etag):
        raise changed(source, f"{size_bytes} bytes with tag {etag} instead of {source.size_bytes} with {source.etag}")


def _files_below(folder: Path, *, recursive: bool) -> Iterator[Path]:
    paths = folder.rglob("*") if recursive else folder.iterdir()
    return (path for path in paths if not path.name.startswith(_TEMPORARY_PREFIX) and path.is_file())


def _info(path: Path, key: str) -> ObjectInfo:
    status = path.stat()
    return ObjectInfo(key, status.st_size, _etag(status), modified_at=last_change(status))


def _etag(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns}-{status.st_size}"


def last_change(status: os.stat_result) -> datetime:
    """A copy may keep the times of its original, but not the time of its last change of status."""
    return datetime.fromtimestamp(max(status.st_mtime, status.st_ctime), UTC)


def _write_all(handle: IO[bytes], data: bytes) -> None:
    handle.write(data)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def telling_os_errors(subject: str) -> Iterator[None]:
    """Tell what the system says of a file or folder of somebody else's: E_ACCESS, E_NOT_FOUND, E_DISK_FULL, E_FILE."""
    try:
        yield
    except OSError as error:
        raise _told(error, subject) from error


def _told(error: OSError, subject: str) -> SpanscanError:
    if error.errno in _FULL:
        return disk_full(Path(subject), needed_bytes=None)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        cause = f"the file must be open to this user, got: {error.strerror}"
        return RunFailed("E_ACCESS", subject, cause, "change its permissions or name another folder")
    if error.errno == errno.ENOENT:
        return not_found(subject)
    return RunFailed("E_FILE", subject, f"the file must be usable, got: {error.strerror}", "mend it and run it again")
