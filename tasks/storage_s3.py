"""A prefix of an S3 bucket as a storage; each process makes its own client."""

import base64
import re
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError, HTTPClientError

from segmentation.errors import RunFailed
from segmentation.records import SourceObject
from tasks.s3_client import again_on_broken_bodies, pause, s3_client
from tasks.s3_download import PinnedObject
from tasks.s3_errors import http_status, is_not_found, not_found, telling_s3_errors
from tasks.storage_base import ObjectInfo, Storage, SwapOutcome, check_key

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

_TRANSFER = TransferConfig(max_concurrency=4, multipart_chunksize=16 << 20)
_SWAP_TRIES = 5
_SWAP_TOKEN = "spanscan-swap"
_MD5_HEX = re.compile(r"[0-9a-f]{32}")
_CHECKSUM_NAMES = ("SHA256", "SHA1", "CRC32", "CRC32C", "CRC64NVME")


@dataclass(frozen=True, slots=True)
class S3Storage(Storage):
    """Objects of `bucket` below `prefix`; holds no client, and so pickles."""

    bucket: str
    prefix: str
    """Empty, or ending with a slash."""
    endpoint_url: str | None
    """None: AWS."""
    region: str | None
    """None: the AWS chain's."""

    def list(self, prefix: str, *, recursive: bool) -> Iterator[ObjectInfo]:
        """See `Storage.list`; pages of 1,000 are fetched as they are needed."""
        request: dict[str, Any] = {"Bucket": self.bucket, "Prefix": self.prefix + prefix}
        if not recursive:
            request["Delimiter"] = "/"
        pages = iter(self._client.get_paginator("list_objects_v2").paginate(**request))
        while True:
            with self._telling(f"s3://{self.bucket}/{self.prefix}{prefix}"):
                page = next(pages, None)
            if page is None:
                return
            for found in page.get("Contents", ()):
                key = found["Key"].removeprefix(self.prefix)
                # Consoles mark a folder by an empty object whose key ends with a slash.
                if not key.endswith("/") and key:
                    yield ObjectInfo(key, found["Size"], found["ETag"].strip('"'))

    def head(self, key: str) -> ObjectInfo:
        """See `Storage.head`."""
        answer = self._head(self._full(key), version_id=None)
        if answer is None:
            raise not_found(self.uri(key))
        version_id = _version(answer.get("VersionId"))
        return ObjectInfo(key, answer["ContentLength"], answer["ETag"].strip('"'), version_id, _checksums(answer))

    def read(self, key: str) -> bytes:
        """See `Storage.read`."""
        full = self._full(key)
        with self._telling(self.uri(key)):
            return again_on_broken_bodies(lambda: self._client.get_object(Bucket=self.bucket, Key=full)["Body"].read())

    def write(self, key: str, data: bytes, *, content_type: str) -> str:
        """See `Storage.write`."""
        full = self._full(key)
        with self._telling(self.uri(key)):
            answer = self._client.put_object(Bucket=self.bucket, Key=full, Body=data, ContentType=content_type)
        return answer["ETag"].strip('"')

    def upload(self, path: Path, key: str, *, content_type: str = "application/octet-stream") -> None:
        """See `Storage.upload`; in parts where it is large."""
        full = self._full(key)
        with self._telling(self.uri(key)):
            extra = {"ContentType": content_type}
            self._client.upload_file(str(path), self.bucket, full, ExtraArgs=extra, Config=_TRANSFER)

    def download(self, source: SourceObject, path: Path) -> str:
        """See `Storage.download`."""
        bucket, _, key = source.uri.removeprefix("s3://").partition("/")
        if bucket != self.bucket:
            raise ValueError(f"the source must lie in the bucket {self.bucket!r}, got {source.uri!r}")
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._telling(source.uri):
            # A pinned SHA-256 says all that the server's checksums could.
            answer = None if source.sha256 else self._head(key, version_id=source.version_id)
            checksums = {} if answer is None else _checksums(answer)
            return PinnedObject(self._client, bucket, key, source, checksums).download(path)

    def exists(self, key: str) -> bool:
        """See `Storage.exists`."""
        return self._head(self._full(key), version_id=None) is not None

    def delete(self, key: str) -> None:
        """See `Storage.delete`."""
        full = self._full(key)
        with self._telling(self.uri(key)):
            self._client.delete_object(Bucket=self.bucket, Key=full)

    def swap(self, key: str, data: bytes, *, expected: str | None) -> SwapOutcome:
        """See `Storage.swap`; each write carries a token of its own, by which it is known again."""
        full, token = self._full(key), uuid.uuid4().hex
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if expected is None else {"IfMatch": f'"{expected}"'}
        with self._telling(self.uri(key)):
            for attempt in range(1, _SWAP_TRIES + 1):
                try:
                    answer = self._client.put_object(
                        Bucket=self.bucket, Key=full, Body=data, Metadata={_SWAP_TOKEN: token}, **condition
                    )
                    return SwapOutcome(swapped=True, etag=answer["ETag"].strip('"'))
                except (ClientError, HTTPClientError) as error:
                    outcome = self._read_back(key, token, error, expected=expected)
                    if outcome is not None:
                        return outcome
                    pause(attempt)
        cause = f"the server must decide a conditional write, got {_SWAP_TRIES} times: ask again"
        raise RunFailed("E_S3_UNAVAILABLE", self.uri(key), cause, "run it again")

    def uri(self, key: str) -> str:
        """See `Storage.uri`."""
        return f"s3://{self.bucket}/{self._full(key) if key else self.prefix}"

    def child(self, prefix: str) -> Self:
        """See `Storage.child`."""
        below = f"{check_key(prefix.rstrip('/'))}/"
        return type(self)(self.bucket, self.prefix + below, self.endpoint_url, self.region)

    @property
    def _client(self) -> "S3Client":
        return s3_client(endpoint_url=self.endpoint_url, region=self.region)

    def _full(self, key: str) -> str:
        return self.prefix + check_key(key)

    def _telling(self, uri: str) -> AbstractContextManager[None]:
        return telling_s3_errors(uri, endpoint_url=self.endpoint_url, region=self.region)

    def _read_back(
        self, key: str, token: str, error: ClientError | HTTPClientError, *, expected: str | None
    ) -> SwapOutcome | None:
        """What became of a conditional write that ended in `error`; None: try again. Raises `error` where unknown."""
        status = http_status(error) if isinstance(error, ClientError) else 0
        is_conflict = status in (409, 412) or (isinstance(error, ClientError) and is_not_found(error))
        is_lost_answer = status == 0 or status >= 500
        if not is_conflict and not is_lost_answer:
            raise error
        # A write whose answer was lost is sent again by boto3, and then conflicts with itself.
        answer = self._head(self._full(key), version_id=None)
        etag = None if answer is None else answer["ETag"].strip('"')
        if answer is not None and answer.get("Metadata", {}).get(_SWAP_TOKEN) == token:
            return SwapOutcome(swapped=True, etag=etag)
        if not is_conflict:
            raise error
        if status == 409 and etag == expected:
            return None
        return SwapOutcome(swapped=False, etag=etag)

    def _head(self, full_key: str, *, version_id: str | None) -> "HeadObjectOutputTypeDef | None":
        """The answer to a head request for a key of the bucket, None where there is no object."""
        request: dict[str, Any] = {"Bucket": self.bucket, "Key": full_key, "ChecksumMode": "ENABLED"}
        if version_id is not None:
            request["VersionId"] = version_id
        with self._telling(f"s3://{self.bucket}/{full_key}"):
            try:
                return self._client.head_object(**request)
            except ClientError as error:
                if is_not_found(error):
                    return None
                raise


def _checksums(answer: "HeadObjectOutputTypeDef") -> dict[str, str]:
    """Checksums of the whole content in a head answer, name → base64."""
    found: dict[str, str] = {}
    etag = answer["ETag"].strip('"')
    # Of an object in parts there may be a checksum of the parts' checksums, which says nothing of the whole.
    is_in_parts = "-" in etag and answer.get("ChecksumType") != "FULL_OBJECT"
    for name in _CHECKSUM_NAMES:
        value = str(answer.get(f"Checksum{name}", ""))
        if value and "-" not in value and not is_in_parts:
            found[name] = value
    # S3's tag is the MD5 of an object that was put in one piece and not encrypted by a customer's key.
    if (
        _MD5_HEX.fullmatch(etag)
        and answer.get("ServerSideEncryption", "AES256") == "AES256"
        and not answer.get("SSECustomerAlgorithm")
    ):
        found["MD5"] = base64.b64encode(bytes.fromhex(etag)).decode()
    return found


def _version(version_id: str | None) -> str | None:
    """The version, None where the bucket keeps none."""
    return None if version_id in (None, "", "null") else version_id
