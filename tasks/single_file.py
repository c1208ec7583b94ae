"""One file by its address, as a command names it: a local path or an object in S3, pinned and staged."""

from pathlib import Path

from segmentation.errors import InputRejected
from segmentation.records import SourceObject
from tasks.staging import pin_and_stage
from tasks.storage import ObjectInfo, Storage, check_key, open_storage, printable


def pinned_file(
    address: str, *, staging_dir: Path, endpoint_url: str | None, region: str | None
) -> tuple[SourceObject, Path]:
    """The file pinned with its checksum, and where its bytes lie; raises InputRejected E_NOT_FOUND, E_KEY."""
    found = _found(address, endpoint_url=endpoint_url, region=region)
    if found is None:
        cause = "there must be a file at this address, got nothing or a folder"
        raise InputRejected("E_NOT_FOUND", printable(address), cause, "check the spelling of the address")
    storage, one = found
    return pin_and_stage(storage, one, staging_dir=staging_dir)


def _found(address: str, *, endpoint_url: str | None, region: str | None) -> tuple[Storage, ObjectInfo] | None:
    if address.lower().startswith("s3://"):
        folder, _, name = address.rpartition("/")
        if not name or folder.lower() in ("s3:", "s3:/"):
            return None
        storage = open_storage(folder, endpoint_url=endpoint_url, region=region)
        return (storage, storage.head(check_key(name))) if storage.exists(check_key(name)) else None
    path = Path(address).expanduser().absolute()
    if "\0" in address or not path.is_file():
        return None
    storage = open_storage(str(path.parent), endpoint_url=None, region=None)
    return storage, storage.head(path.name)
