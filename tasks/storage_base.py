"""What every storage can do, whether S3 or a folder, and which keys it takes."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Self

from segmentation.errors import InputRejected
from segmentation.records import SourceObject

_LONGEST_KEY_BYTES = 1024
"""The longest key that S3 takes, in UTF-8."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object as a listing or a head request tells it."""

    key: str
    """Key below the storage's prefix, decoded."""
    size_bytes: int
    """Length of the content."""
    etag: str
    """S3 entity tag without quotes, or for a local file ``mtime_ns-size``."""
    version_id: str | None = None
    """S3 version; None where the bucket keeps none, for a local file and in a listing."""
    checksums: Mapping[str, str] = field(default_factory=dict)
    """Checksums of the whole content that S3 holds, name (``SHA256``, ``CRC32``, ``MD5`` …) → base64."""
    modified_at: datetime | None = field(default=None, compare=False)
    """When it was written, by the server's clock; a listing may tell it finer than a head request."""


@dataclass(frozen=True, slots=True)
class SwapOutcome:
    """What became of a conditional write."""

    swapped: bool
    """True: this caller's data was put in place, and this is said to one caller only."""
    etag: str | None
    """Entity tag of what is in place now; None where nothing is."""


class Storage(ABC):
    """A prefix of a bucket, or a folder, with the same semantics; picklable, safe to share between threads.

    Keys are relative to the prefix, with forward slashes. Every method that takes a key raises InputRejected
    E_KEY for one that `check_key` refuses. Failures are `SpanscanError`s, never the library's own.
    """

    @abstractmethod
    def list(self, prefix: str, *, recursive: bool) -> Iterator[ObjectInfo]:
        """Objects whose key begins with `prefix`, in the order of their UTF-8 keys; keys are *not* checked.

        `prefix` is empty or ends with a slash. Without `recursive` only the objects directly below it. A place
        that does not exist holds nothing, except that a missing bucket is InputRejected E_NO_BUCKET.
        """

    @abstractmethod
    def head(self, key: str) -> ObjectInfo:
        """Size, tag, version and checksums; raises InputRejected E_NOT_FOUND."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """The whole content; raises InputRejected E_NOT_FOUND."""

    @abstractmethod
    def write(self, key: str, data: bytes, *, content_type: str) -> str:
        """Put `data` in place in one step, whatever was there; the new entity tag."""

    @abstractmethod
    def upload(self, path: Path, key: str, *, content_type: str = "application/octet-stream") -> None:
        """Put the content of a local file in place in one step, of any size, whatever was there."""

    @abstractmethod
    def download(self, source: SourceObject, path: Path) -> str:
        """Copy the pinned object to `path`, which need not be complete where this raises; the SHA-256, hex.

        `source` must lie in this storage's bucket or file system; its `sha256` is verified unless it is empty.
        Raises RunFailed E_CHANGED where the object is no longer the pinned one, InputRejected E_CHECKSUM where
        the content contradicts a checksum, RunFailed E_DISK_FULL.
        """

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Whether an object has this key."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove the object; nothing happens where there is none."""

    @abstractmethod
    def swap(self, key: str, data: bytes, *, expected: str | None) -> SwapOutcome:
        """Put `data` in place only where the entity tag is `expected`, or where there is no object for None.

        Of several callers with the same `expected` exactly one is told ``swapped``, also where the answer to
        its write was lost on the way. A caller whose write was overtaken at once, before it could read the
        pointer back after such a loss, is told that it did not swap: the newer one stands.
        """

    @abstractmethod
    def uri(self, key: str) -> str:
        """The address of a key: ``s3://bucket/key`` with the key decoded, or an absolute path; "": of all of it."""

    @abstractmethod
    def child(self, prefix: str) -> Self:
        """The same storage below `prefix`."""


def check_key(key: str) -> str:
    r"""The key, if it is one that means the same object everywhere; raises InputRejected E_KEY.

    >>> check_key("bridge 7/deck+é#1.tif")
    'bridge 7/deck+é#1.tif'
    """
    problem = _key_problem(key)
    if problem is None:
        return key
    raise InputRejected("E_KEY", printable(key), problem, "give the object a plain name and upload it again")


def _key_problem(key: str) -> str | None:
    if not key:
        return "a key must not be empty"
    if key.startswith("/"):
        return "a key must not begin with a slash"
    for segment in key.split("/"):
        if segment in (".", ".."):
            return f"a key must not hold a {segment!r} segment"
        if not segment:
            return "a key must not hold an empty segment or end with a slash"
    if any(ord(c) < 32 or ord(c) == 127 for c in key):
        return "a key must not hold a control character such as NUL or a newline"
    try:
        length_bytes = len(key.encode())
    except UnicodeEncodeError:
        return "a key must be valid UTF-8"
    if length_bytes > _LONGEST_KEY_BYTES:
        return f"a key must not be longer than {_LONGEST_KEY_BYTES} bytes, got {length_bytes}"
    return None


def printable(text: str) -> str:
    r"""A name as it may be shown on a terminal: as it is, or quoted with escapes where it holds odd characters.

    >>> printable("deck é.tif"), printable("a\nb\x1b[2J")
    ('deck é.tif', "'a\\nb\\x1b[2J'")
    """
    return text if text and text.isprintable() else ascii(text)
