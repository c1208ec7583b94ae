"""An inbox with its queue, a deployment that records, and what Prefect knows of its runs."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import boto3

from flows.settings import Settings
from tasks.s3_server import EmbeddedS3

DEPLOYMENT = "record-survey/record-survey"


@dataclass(frozen=True)
class TestInbox:
    """A bucket with an inbox, results and a queue."""

    __test__ = False

    server: EmbeddedS3
    bucket: str
    queue_url: str

    @property
    def settings(self) -> dict[str, Any]:
        """What a watcher, a sweep or a run is told."""
        return {
            "s3_endpoint_url": self.server.endpoint_url,
            "inbox": f"s3://{self.bucket}/in",
            "results": f"s3://{self.bucket}/results",
            "queue_url": self.queue_url,
            "queue_visibility_s": 20,
            "upload_quiet_s": 900,
        }

    def chosen(self, **further: Any) -> Settings:
        """The same as settings, some of them changed."""
        return Settings(**{**self.settings, **further})

    @property
    def s3(self) -> Any:
        """A client of the server."""
        return _client("s3", self.server.endpoint_url)

    @property
    def sqs(self) -> Any:
        """A client of the server."""
        return _client("sqs", self.server.endpoint_url)

    def upload(self, survey: str, files: Mapping[str, bytes] = {"a.tif": b"raster", "survey.json": b"{}"}) -> None:
        """Put the files of a survey in their order."""
        for name, data in files.items():
            self.s3.put_object(Bucket=self.bucket, Key=f"in/{survey}/{name}", Body=data)

    def messages_left(self) -> int:
        """Messages of the queue that are not deleted, hidden ones included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def runs(self) -> Counter[str]:
        """Names of surveys of this inbox, and how many runs Prefect has recorded of each."""
        return Counter(run.parameters["survey"].rstrip("/").rpartition("/")[2] for run in self.flow_runs())

    def flow_runs(self) -> list[Any]:
        """Runs that Prefect has recorded for this inbox."""
        from prefect.client.orchestration import get_client

        found: list[Any] = []
        with get_client(sync_client=True) as client:
            while page := client.read_flow_runs(limit=200, offset=len(found)):
                found += page
        return [run for run in found if run.parameters.get("survey", "").startswith(f"s3://{self.bucket}/in/")]

    def count_runs(self, *, named: str, waiting: bool = False) -> int:
        """How many runs Prefect has recorded of surveys whose names begin so, or how many of them wait for a worker."""
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            return client.count_flow_runs(flow_run_filter=_filter(named, waiting=waiting))

    def carry_out(self, *, named: str) -> None:
        """Do what a worker does with the runs that wait: in this process, one after the other."""
        from prefect.client.orchestration import get_client
        from prefect.states import Completed

        from tests.flows.recording import record_survey

        with get_client(sync_client=True) as client:
            for run in client.read_flow_runs(flow_run_filter=_filter(named, waiting=True), limit=200):
                record_survey.fn(run.parameters["survey"], settings={**self.settings, **run.parameters["settings"]})
                client.set_flow_run_state(run.id, Completed(), force=True)

    def carried_out(self) -> Counter[str]:
        """How often the recording flow ran for each survey."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix="results/.recorded/")
        keys = [one["Key"] for page in pages for one in page.get("Contents", ())]
        told = [json.loads(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()) for key in keys]
        return Counter(one["survey"].rstrip("/").rpartition("/")[2] for one in told)


@lru_cache(maxsize=8)
def _client(service: str, endpoint_url: str) -> Any:
    return boto3.client(service, endpoint_url=endpoint_url)


def _filter(named: str, *, waiting: bool) -> Any:
    """Runs by the beginning of their names, which is that of their survey."""
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterName,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType

    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])) if waiting else None
    return FlowRunFilter(name=FlowRunFilterName(like_=named), state=state)


def make_inbox(server: EmbeddedS3, bucket: str, *, receipts: int | None = 3) -> TestInbox:
    """A new bucket whose inbox tells a new queue."""
    boto3.client("s3", endpoint_url=server.endpoint_url).create_bucket(Bucket=bucket)
    return TestInbox(server, bucket, server.upload_queue(bucket, prefix="in/", name=bucket, receipts=receipts))


def apply_recording_deployment() -> None:
    """Make the recording flow known to Prefect."""
    from prefect.types.entrypoint import EntrypointType

    from tests.flows.recording import record_survey

    record_survey.to_deployment("record-survey", entrypoint_type=EntrypointType.MODULE_PATH).apply()
