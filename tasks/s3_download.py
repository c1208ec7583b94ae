"""Fetching one pinned S3 object whole: resumed where the body breaks off, verified as it streams."""

import errno
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from botocore.exceptions import ClientError, FlexibleChecksumError

from segmentation.errors import InputRejected
from segmentation.records import SourceObject
from tasks.checksums import StreamChecks
from tasks.s3_client import BODY_ERRORS, BODY_TRIES, pause
from tasks.s3_errors import http_status, is_not_found
from tasks.s3_head import checksums_of
from tasks.s3_parts import PartsTag, part_sizes
from tasks.storage_local import changed, disk_full

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_STEP_BYTES = 4 << 20
_WHOLE_TRIES = 3


def whole_content(client: "S3Client", bucket: str, key: str) -> bytes:
    """An object in memory, as the server keeps it; raises FlexibleChecksumError where a byte changed on the way."""
    answer = client.get_object(Bucket=bucket, Key=key)
    data = answer["Body"].read()
    checks = StreamChecks(checksums_of(answer))
    checks.update(data)
    if wrong := checks.mismatches():
        raise FlexibleChecksumError(error_msg=f"the content must agree with the server's {', '.join(wrong)}")
    return data


@dataclass(frozen=True, slots=True)
class PinnedObject:
    """An S3 object with all that is needed to get just this content or an error."""

    client: "S3Client"
    bucket: str
    key: str
    """Key in the bucket."""
    source: SourceObject
    """The pin; its `sha256` may be empty."""
    checksums: Mapping[str, str]
    """What S3 says of the whole content: name → base64."""

    def download(self, path: Path) -> str:
        """Write the content to `path`; its SHA-256, hex.

        Content that contradicts a checksum is fetched again, since the fault may lie on the way. Where the server keeps
        none that can be verified it is fetched twice, and must be the same. Raises RunFailed E_CHANGED, InputRejected
        E_CHECKSUM, RunFailed E_DISK_FULL; `path` may be incomplete then.
        """
        wrong = ""
        fetched: list[str] = []
        for _ in range(_WHOLE_TRIES):
            checks = _Checks.of(self.source, self.checksums)
            try:
                self._fetch(path, checks)
            except FlexibleChecksumError as error:
                wrong = str(error)
                continue
            if mismatches := checks.mismatches():
                wrong = f"another {', '.join(mismatches)}"
                continue
            if checks.are_proof() or checks.sha256 in fetched:
                return checks.sha256
            wrong = "other content each time"
            fetched.append(checks.sha256)
        cause = f"the content must agree with the checksum kept for it, got {_WHOLE_TRIES} times: {wrong}"
        raise InputRejected("E_CHECKSUM", self.source.uri, cause, "upload the file again")

    def _fetch(self, path: Path, checks: "_Checks") -> None:
        try:
            with path.open("wb") as handle:
                done_bytes = self._fill(handle, checks)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise disk_full(path, needed_bytes=self.source.size_bytes) from error
            raise
        if done_bytes != self.source.size_bytes:
            raise changed(self.source, f"{done_bytes} bytes instead of {self.source.size_bytes}")

    def _fill(self, handle: IO[bytes], checks: "_Checks") -> int:
        """Stream the object to `handle` and through `checks`; a body that breaks off is asked for from there on."""
        done_bytes, failures = 0, 0
        while True:
            try:
                for step in self._steps(done_bytes):
                    handle.write(step)
                    checks.update(step)
                    done_bytes += len(step)
                    failures = 0
            except FlexibleChecksumError:
                raise
            except BODY_ERRORS:
                failures += 1
                if failures == BODY_TRIES:
                    raise
                pause(failures)
            else:
                return done_bytes

    def _steps(self, start_bytes: int) -> Iterator[bytes]:
        request: dict[str, Any] = {"Bucket": self.bucket, "Key": self.key, "IfMatch": f'"{self.source.etag}"'}
        if self.source.version_id is not None:
            request["VersionId"] = self.source.version_id
        if start_bytes:
            request["Range"] = f"bytes={start_bytes}-"
        try:
            body = self.client.get_object(**request)["Body"]
        except ClientError as error:
            if http_status(error) == 412:
                raise changed(self.source, "another entity tag") from error
            if is_not_found(error):
                raise changed(self.source, "the object is gone") from error
            raise
        while step := body.read(_STEP_BYTES):
            yield step


@dataclass(frozen=True, slots=True)
class _Checks:
    """All that can be held against the content of one fetch."""

    source: SourceObject
    stream: StreamChecks
    is_known: bool
    """Whether the server's checksums, or the pin's, hold the whole content."""
    parts: tuple[PartsTag, ...]

    @classmethod
    def of(cls, source: SourceObject, checksums: Mapping[str, str]) -> Self:
        is_known = bool(source.sha256) or bool(checksums)
        sizes = () if is_known else part_sizes(source.size_bytes, source.etag)
        return cls(source, StreamChecks(checksums), is_known, tuple(PartsTag(size) for size in sizes))

    def update(self, data: bytes) -> None:
        self.stream.update(data)
        for one in self.parts:
            one.update(data)

    @property
    def sha256(self) -> str:
        return self.stream.sha256

    def mismatches(self) -> list[str]:
        found = list(self.stream.mismatches())
        return found if self.source.sha256 in ("", self.sha256) else [*found, "pinned SHA-256"]

    def are_proof(self) -> bool:
        """Whether content without a mismatch is what the server keeps."""
        return self.is_known or any(one.tag() == self.source.etag for one in self.parts)
