"""A conditional write of one S3 object, on servers that decide it and on those that do so in their own way.

S3 decides ``If-None-Match: *`` and ``If-Match: "tag"`` in one step with the write. Ceph's gateway (seen with 16.2) has
ways of its own:

- It compares the tag with its quotes, so that ``If-Match: "tag"`` is refused though it holds. Without the quotes it is
  decided in one step, as S3 does it; so that is tried next where the tag still is the expected one.
- In a bucket with versions it takes every If-None-Match and refuses every If-Match. There the write is made and then
  judged by the history that the server keeps: it stands if the version right before it is the expected one; else
  another writer was first, and this one takes its own version away again, which brings the other's back. For that
  moment readers see the later of two complete contents. Of all writers with the same expectation one is told success.
- In a bucket without versions where neither form is decided nothing is written: RunFailed E_CONDITIONAL_WRITE.

History is asked of servers with an address of their own only; AWS decides, and there it would ask for more permissions.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, HTTPClientError

from segmentation.errors import RunFailed
from tasks.s3_client import pause
from tasks.s3_errors import http_status, is_not_found
from tasks.s3_head import etag_of, head_of, version_of
from tasks.storage_base import SwapOutcome

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef, ObjectVersionTypeDef, PutObjectOutputTypeDef

_TRIES = 5
_TOKEN = "spanscan-swap"


@dataclass(frozen=True, slots=True)
class ConditionalWrite:
    """One write, known again by its token whatever becomes of the answers."""

    client: "S3Client"
    bucket: str
    key: str
    """Key in the bucket."""
    data: bytes
    expected: str | None
    """Entity tag of what must be in place; None: nothing may be there."""
    uri: str
    """The object's address, for messages."""
    asks_history: bool
    """Whether the server may take a write in a bucket with versions without deciding its condition."""
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    def swap(self) -> SwapOutcome:
        """See `Storage.swap`; raises boto3's errors, RunFailed E_CONDITIONAL_WRITE and E_S3_UNAVAILABLE."""
        conditions = list(self._conditions())
        for attempt in range(1, _TRIES + 1):
            try:
                answer = self._put(**conditions[0])
            except (ClientError, HTTPClientError) as error:
                found = self._head()
                if self._is_ours(found):
                    return SwapOutcome(swapped=True, etag=found and etag_of(found))
                self._raise_unless_conflict(error)
                etag = found and etag_of(found)
                if etag != self.expected:
                    return SwapOutcome(swapped=False, etag=etag)
                if http_status(error) == 412 and len(conditions) > 1:  # type: ignore[arg-type] # a conflict has a status
                    conditions.pop(0)
                elif http_status(error) == 412 and self.expected is not None:  # type: ignore[arg-type]
                    return self._without_condition(found)
                else:
                    pause(attempt)
            else:
                # Apart from the write: a history that may not be read decides nothing, so its refusal is raised.
                return self._judged(answer)
        cause = f"the server must decide a conditional write, got {_TRIES} times: ask again"
        raise RunFailed("E_S3_UNAVAILABLE", self.uri, cause, "run it again")

    def _conditions(self) -> Iterator[dict[str, str]]:
        if self.expected is None:
            yield {"IfNoneMatch": "*"}
        else:
            yield {"IfMatch": f'"{self.expected}"'}
            yield {"IfMatch": self.expected}

    def _put(self, **condition: Any) -> "PutObjectOutputTypeDef":
        return self.client.put_object(
            Bucket=self.bucket, Key=self.key, Body=self.data, Metadata={_TOKEN: self.token}, **condition
        )

    def _head(self, version_id: str | None = None) -> "HeadObjectOutputTypeDef | None":
        return head_of(self.client, self.bucket, self.key, version_id=version_id)

    def _is_ours(self, found: "HeadObjectOutputTypeDef | None") -> bool:
        return found is not None and found.get("Metadata", {}).get(_TOKEN) == self.token

    def _raise_unless_conflict(self, error: ClientError | HTTPClientError) -> None:
        is_conflict = isinstance(error, ClientError) and (http_status(error) in (409, 412) or is_not_found(error))
        if not is_conflict:
            raise error

    def _without_condition(self, found: "HeadObjectOutputTypeDef | None") -> SwapOutcome:
        if self.asks_history and found is not None and version_of(found.get("VersionId")) is not None:
            return self._judged(self._put())
        cause = "the server must decide a write under the condition If-Match, got a refusal though the condition holds"
        remedy = "keep results in a bucket with versions, in a folder, or on a server with conditional writes"
        raise RunFailed("E_CONDITIONAL_WRITE", self.uri, cause, remedy)

    def _judged(self, answer: "PutObjectOutputTypeDef") -> SwapOutcome:
        """What became of a write that the server took, by its history where it keeps one."""
        if not self.asks_history or version_of(answer.get("VersionId")) is None:
            return SwapOutcome(swapped=True, etag=answer["ETag"].strip('"'))
        own, before = self._own_versions_and_the_one_before()
        if (before and before["ETag"].strip('"')) == self.expected:
            return SwapOutcome(swapped=True, etag=answer["ETag"].strip('"'))
        for one in own:
            self.client.delete_object(Bucket=self.bucket, Key=self.key, VersionId=one["VersionId"])
        found = self._head()
        return SwapOutcome(swapped=False, etag=found and etag_of(found))

    def _own_versions_and_the_one_before(self) -> "tuple[list[ObjectVersionTypeDef], ObjectVersionTypeDef | None]":
        """This write's versions (several where boto3 sent it again), and the one they were put upon; newest first."""
        page = self.client.list_object_versions(Bucket=self.bucket, Prefix=self.key)
        removals = [one["LastModified"] for one in page.get("DeleteMarkers", ()) if one["Key"] == self.key]
        own: list[ObjectVersionTypeDef] = []
        for one in page.get("Versions", ()):
            if one["Key"] != self.key:
                continue
            if self._is_ours(self._head(one["VersionId"])):
                own.append(one)
            elif own:
                is_removed = any(at >= one["LastModified"] for at in removals)
                return own, None if is_removed else one
        return own, None
