"""A prefix of an S3 bucket as a storage; each process makes its own client."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from boto3.s3.transfer import TransferConfig

from segmentation.records import SourceObject
from tasks.s3_client import again_on_broken_bodies, s3_client
from tasks.s3_download import PinnedObject, whole_content
from tasks.s3_errors import not_found, telling_s3_errors
from tasks.s3_head import checksums_of, etag_of, head_of, modified_at, version_of
from tasks.s3_swap import ConditionalWrite
from tasks.storage_base import ObjectInfo, Storage, SwapOutcome, check_key

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

_TRANSFER = TransferConfig(max_concurrency=4, multipart_chunksize=16 << 20)


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
                    yield ObjectInfo(key, found["Size"], found["ETag"].strip('"'), modified_at=found["LastModified"])

    def head(self, key: str) -> ObjectInfo:
        """See `Storage.head`."""
        answer = self._head(self._full(key), version_id=None)
        if answer is None:
            raise not_found(self.uri(key))
        return ObjectInfo(
            key,
            answer["ContentLength"],
            etag_of(answer),
            version_of(answer.get("VersionId")),
            checksums_of(answer),
            modified_at(answer),
        )

    def read(self, key: str) -> bytes:
        """See `Storage.read`."""
        full = self._full(key)
        with self._telling(self.uri(key)):
            return again_on_broken_bodies(lambda: whole_content(self._client, self.bucket, full))

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
            checksums = {} if answer is None else checksums_of(answer)
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
        """See `Storage.swap`, and `tasks.s3_swap` for how it stays true on each kind of server."""
        with self._telling(self.uri(key)):
            return ConditionalWrite(
                self._client,
                self.bucket,
                self._full(key),
                data,
                expected,
                self.uri(key),
                asks_history=self.endpoint_url is not None,
            ).swap()

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

    def _head(self, full_key: str, *, version_id: str | None) -> "HeadObjectOutputTypeDef | None":
        """The answer to a head request for a key of the bucket, None where there is no object."""
        with self._telling(f"s3://{self.bucket}/{full_key}"):
            return head_of(self._client, self.bucket, full_key, version_id=version_id)
