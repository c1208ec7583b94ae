"""One way to reach S3 and local folders: `open_storage` by address."""

from pathlib import Path

from segmentation.errors import InputRejected, UsageError
from tasks.storage_base import ObjectInfo, Storage, SwapOutcome, check_key, printable
from tasks.storage_local import LocalStorage
from tasks.storage_s3 import S3Storage

__all__ = ["ObjectInfo", "Storage", "SwapOutcome", "check_key", "open_storage", "printable"]


def open_storage(uri: str, *, endpoint_url: str | None, region: str | None) -> Storage:
    """The storage at ``s3://bucket/prefix`` (key as it is, not percent-encoded) or in a local folder.

    Nothing is asked of the server yet, and the folder need not exist. Raises UsageError E_URI for another
    scheme or a missing bucket, InputRejected E_KEY for a prefix that `check_key` refuses.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        if not uri or "\0" in uri:
            raise InputRejected("E_KEY", printable(uri), "a path must not be empty or hold NUL", "give another path")
        return LocalStorage(Path(uri).expanduser().absolute())
    if scheme.lower() != "s3":
        cause = f"an address must be s3://bucket/prefix or a local path, got the scheme {scheme!r}"
        raise UsageError("E_URI", printable(uri), cause, "copy the files to S3 or to a folder")
    bucket, _, prefix = rest.partition("/")
    if not bucket:
        raise UsageError(
            "E_URI", printable(uri), "an S3 address must name a bucket, got none", "write s3://bucket/prefix"
        )
    below = prefix.removesuffix("/")
    return S3Storage(bucket, f"{check_key(below)}/" if below else "", endpoint_url, region)
