"""Zarr's store in S3, whose failures are told as those of every other request to S3."""

import re
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.exceptions import BaseError
from obstore.store import S3Store
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import ObjectStore, WrapperStore

from tasks.s3_errors import told

_OPERATIONS = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
_METHOD = re.compile(r"Error performing ([A-Z]+) ")
_CODE = re.compile(r"<Code>([A-Za-z0-9]+)</Code>")
_STATUS = re.compile(r"status code: (\d{3})|status: (\d{3})")


class S3ZarrStore(WrapperStore[ObjectStore[S3Store]]):
    """Objects of a bucket below a prefix as a Zarr store; raises SpanscanError as `S3Storage` does."""

    def __init__(self, store: ObjectStore[S3Store], *, uri: str, endpoint_url: str | None, region: str | None) -> None:
        super().__init__(store)
        self._uri, self._endpoint_url, self._region = uri, endpoint_url, region

    def _with_store(self, store: ObjectStore[S3Store]) -> Self:
        return type(self)(store, uri=self._uri, endpoint_url=self._endpoint_url, region=self._region)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """See zarr's `Store`."""
        with self._telling(key):
            return await super().get(key, prototype, byte_range)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """See zarr's `Store`."""
        with self._telling(""):
            return await super().get_partial_values(prototype, key_ranges)

    async def exists(self, key: str) -> bool:
        """See zarr's `Store`."""
        with self._telling(key):
            return await super().exists(key)

    async def set(self, key: str, value: Buffer) -> None:
        """See zarr's `Store`."""
        with self._telling(key):
            await super().set(key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """See zarr's `Store`."""
        with self._telling(key):
            await super().set_if_not_exists(key, value)

    async def delete(self, key: str) -> None:
        """See zarr's `Store`."""
        with self._telling(key):
            await super().delete(key)

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """See zarr's `Store`."""
        with self._telling(prefix):
            async for key in super().list_dir(prefix):
                yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """See zarr's `Store`."""
        with self._telling(prefix):
            async for key in super().list_prefix(prefix):
                yield key

    @contextmanager
    def _telling(self, key: str) -> Iterator[None]:
        uri = f"{self._uri}/{key}" if key else self._uri
        try:
            yield
        except (BotoCoreError, ClientError) as error:  # of the credentials, which boto3 finds
            raise told(error, uri, endpoint_url=self._endpoint_url, region=self._region) from error
        except BaseError as error:
            answer = _as_answer(str(error))
            raise told(answer, uri, endpoint_url=self._endpoint_url, region=self._region) from error


def s3_zarr_store(uri: str, *, endpoint_url: str | None, region: str | None) -> S3ZarrStore:
    """The store at ``s3://bucket/prefix``; credentials from the standard AWS chain."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    options: dict[str, Any] = {"virtual_hosted_style_request": endpoint_url is None}
    if endpoint_url is not None:
        options["endpoint"] = endpoint_url
        options["client_options"] = {"allow_http": endpoint_url.startswith("http://")}
    store = S3Store(
        bucket,
        prefix=prefix,
        region=region or "us-east-1",
        credential_provider=Boto3CredentialProvider(),
        **options,
    )
    return S3ZarrStore(ObjectStore(store), uri=uri, endpoint_url=endpoint_url, region=region)


def _as_answer(text: str) -> ClientError:
    """The answer that obstore, which keeps its text only, was refused with.

    >>> _as_answer("Error performing PUT http://h/k - status code: 400 Bad Request: <Code>ExpiredToken</Code>").response
    {'Error': {'Code': 'ExpiredToken', 'Message': ''}, 'ResponseMetadata': {'HTTPStatusCode': 400}}
    """
    method, code, status = _METHOD.search(text), _CODE.search(text), _STATUS.search(text)
    number = int(next(filter(None, status.groups()))) if status else 0
    message = "" if code else " ".join(text.split("Debug source")[0].split())[:200]
    response: Any = {
        "Error": {"Code": code[1] if code else str(number), "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": number},
    }
    return ClientError(response, _OPERATIONS.get(method[1] if method else "", "GetObject"))
