"""The queue that S3 puts its notifications into: SQS, received in batches, kept while worked, deleted after."""

import logging
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import boto3.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from segmentation.errors import RunFailed, UsageError
from tasks.s3_errors import error_code

log = logging.getLogger("spanscan.uploads")

MOST_MESSAGES = 10
"""That SQS gives at once."""
_REGION = re.compile(r"^(?:sqs\.([a-z0-9-]+)\.amazonaws\.com|([a-z0-9-]+)\.queue\.amazonaws\.com)")
_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=5, read_timeout=40, max_pool_connections=8
)
_NO_QUEUE = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")


@dataclass(frozen=True, slots=True)
class Message:
    """One received message."""

    id: str
    body: str
    receipt: str
    """By which it is kept or deleted; good for this receipt only."""
    received_count: int
    """How often it was received, this time included."""


@dataclass(frozen=True, slots=True)
class UploadQueue:
    """A queue by its URL; its server is the one that the URL names."""

    url: str
    region: str | None
    visibility_s: int
    """For how long a received message is hidden from others, unless it is kept for longer."""

    def receive(self, *, wait_s: int) -> list[Message]:
        """Up to 10 messages, waiting for the first up to `wait_s` ≤ 20.

        Raises UsageError E_QUEUE where there is no such queue, RunFailed E_QUEUE_UNAVAILABLE.
        """
        with self._telling():
            answer = self._client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=MOST_MESSAGES,
                WaitTimeSeconds=wait_s,
                VisibilityTimeout=self.visibility_s,
                AttributeNames=["ApproximateReceiveCount"],
            )
        return [
            Message(
                one["MessageId"],
                one["Body"],
                one["ReceiptHandle"],
                int(one.get("Attributes", {}).get("ApproximateReceiveCount", "1")),
            )
            for one in answer.get("Messages", ())
        ]

    def delete(self, messages: Sequence[Message]) -> None:
        """Acknowledge messages; one whose receipt is out of date comes again, which is harmless."""
        for start in range(0, len(messages), MOST_MESSAGES):
            entries = [
                {"Id": str(i), "ReceiptHandle": m.receipt}
                for i, m in enumerate(messages[start : start + MOST_MESSAGES])
            ]
            with self._telling():
                self._client.delete_message_batch(QueueUrl=self.url, Entries=entries)

    def release(self, message: Message) -> None:
        """Let a message be received again at once."""
        with self._telling():
            self._client.change_message_visibility(
                QueueUrl=self.url, ReceiptHandle=message.receipt, VisibilityTimeout=0
            )

    def dead_letters_after(self) -> int | None:
        """After how many receipts the queue itself sets a message aside; None where it never does."""
        with self._telling():
            answer = self._client.get_queue_attributes(QueueUrl=self.url, AttributeNames=["RedrivePolicy"])
        found = re.search(r'"maxReceiveCount"\s*:\s*"?(\d+)', answer.get("Attributes", {}).get("RedrivePolicy", ""))
        return int(found[1]) if found else None

    @contextmanager
    def kept(self, messages: Sequence[Message]) -> Iterator[None]:
        """Keep messages hidden from others for as long as this lasts: their time is set anew while they are worked."""
        over = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(messages, over), name="spanscan-keeper", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            over.set()
            keeper.join(timeout=1)

    def _keep(self, messages: Sequence[Message], over: threading.Event) -> None:
        while not over.wait(self.visibility_s / 3):
            for start in range(0, len(messages), MOST_MESSAGES):
                entries = [
                    {"Id": str(i), "ReceiptHandle": m.receipt, "VisibilityTimeout": self.visibility_s}
                    for i, m in enumerate(messages[start : start + MOST_MESSAGES])
                ]
                try:
                    self._client.change_message_visibility_batch(
                        QueueUrl=self.url,
                        Entries=entries,
                    )
                except (ClientError, BotoCoreError) as error:
                    log.warning("messages could not be kept (%s); they come again, which is harmless", error)

    @property
    def _client(self) -> Any:
        return _sqs_client(self.url, self.region)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            what = " ".join(str(error).split())[:300]
            if error_code(error) in _NO_QUEUE:
                cause = f"the queue must exist, got: {what}"
                raise UsageError("E_QUEUE", self.url, cause, "create it, or mend SPANSCAN_QUEUE_URL") from error
            raise self._unavailable(what) from error
        except (BotoCoreError, ValueError) as error:
            raise self._unavailable(" ".join(str(error).split())[:300]) from error

    def _unavailable(self, what: str) -> RunFailed:
        remedy = "check SPANSCAN_QUEUE_URL and the credentials (sqs:ReceiveMessage, sqs:DeleteMessage, …), or wait"
        return RunFailed("E_QUEUE_UNAVAILABLE", self.url, f"the queue must answer, got: {what}", remedy)


@lru_cache(maxsize=4)
def _sqs_client(url: str, region: str | None) -> Any:
    parts = urlsplit(url)
    named = _REGION.match(parts.hostname or "")
    session = boto3.session.Session()
    of_host = (named[1] or named[2]) if named else None
    return session.client(
        "sqs",
        endpoint_url=f"{parts.scheme}://{parts.netloc}",
        region_name=region or of_host or session.region_name or "us-east-1",
        config=_CONFIG,
    )
