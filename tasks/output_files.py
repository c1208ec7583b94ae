"""Files of a run on their way to its place, each with its checksum for the manifest."""

import hashlib
import json
from pathlib import Path
from typing import Any

from tasks.crash_points import reached
from tasks.storage import Storage
from tasks.storage_local import file_sha256


class OutputFiles:
    """Writes the files of one run and remembers their checksums."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.sha256: dict[str, str] = {}
        """Checksum, hex, by key in the run."""

    def write(self, key: str, data: bytes, content_type: str) -> str:
        """Write one file in one step; its address."""
        self._storage.write(key, data, content_type=content_type)
        reached("after_output_file")
        self.sha256[key] = hashlib.sha256(data).hexdigest()
        return self._storage.uri(key)

    def write_file(self, key: str, path: Path, content_type: str) -> str:
        """Put a local file of any size in place in one step, without holding it in memory; its address."""
        self._storage.upload(path, key, content_type=content_type)
        reached("after_output_file")
        self.sha256[key] = file_sha256(path)
        return self._storage.uri(key)

    def write_json(self, key: str, record: Any, *, content_type: str = "application/json") -> str:
        """Write plain data as JSON; raises ValueError for NaN, which no reader would take."""
        return self.write(key, dumped_json(record), content_type)


def dumped_json(record: Any) -> bytes:
    """Plain data as JSON in UTF-8; raises ValueError for NaN."""
    return json.dumps(record, ensure_ascii=False, indent=1, allow_nan=False).encode()
