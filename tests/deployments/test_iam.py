"""Each role does its work on a real server that checks permissions, and is refused whatever else it asks for.

moto enforces actions, buckets and keys. It does not enforce: the name of the queue (SQS is asked with "*"),
conditions, the queue's own policy. What is allowed there is read from the documents.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tasks.s3_swap import ConditionalWrite
from tasks.storage_base import SwapOutcome
from tests.deployments.files import policy
from tests.deployments.roles import INBOX, OTHER, RESULTS, ROLES, Roles, checked_roles
from tests.flows.tiny import tiny_survey

pytestmark = pytest.mark.slow

RECORD = "bridge-7/uploads/0123.json"
FORMATS = {"SPANSCAN_REPORT_FORMATS": '["index", "stac"]'}
REPORT = "bridge-7/runs/0123/structures/deck/report.html"


@pytest.fixture(scope="module")
def roles() -> Iterator[Roles]:
    with checked_roles() as found:
        root = found.client("root")
        for bucket, keys in {
            INBOX: ("bridge-7/deck.tif", "bridge-7/survey.json"),
            RESULTS: (RECORD, REPORT, "bridge-7/latest.json", "bridge-7/rejected.json"),
        }.items():
            for key in keys:
                root.put_object(Bucket=bucket, Key=key, Body=b"{}")
        yield found


@dataclass(frozen=True)
class Ask:
    name: str
    role: str
    ask: Callable[[Any], Any]
    allowed: bool
    service: str = "s3"


def put(bucket: str, key: str) -> Callable[[Any], Any]:
    return lambda s3: s3.put_object(Bucket=bucket, Key=key, Body=b"{}")


def get(bucket: str, key: str) -> Callable[[Any], Any]:
    return lambda s3: s3.get_object(Bucket=bucket, Key=key)


def delete(bucket: str, key: str) -> Callable[[Any], Any]:
    return lambda s3: s3.delete_object(Bucket=bucket, Key=key)


def listing(bucket: str) -> Callable[[Any], Any]:
    return lambda s3: s3.list_objects_v2(Bucket=bucket)


def versions(bucket: str) -> Callable[[Any], Any]:
    return lambda s3: s3.list_object_versions(Bucket=bucket, Prefix="bridge-7/")


def delete_version(key: str) -> Callable[[Any], Any]:
    return lambda s3: s3.delete_object(Bucket=RESULTS, Key=key, VersionId="none-of-that-id")


ASKS = [
    Ask("the watcher reads a manifest", "watcher", get(INBOX, "bridge-7/survey.json"), True),
    Ask("the watcher reads no raster", "watcher", get(INBOX, "bridge-7/deck.tif"), False),
    Ask("the watcher reads records", "watcher", get(RESULTS, RECORD), True),
    Ask("the watcher reads no report", "watcher", get(RESULTS, REPORT), False),
    Ask("the watcher writes no record", "watcher", put(RESULTS, RECORD), False),
    Ask("the watcher sets messages aside", "watcher", put(RESULTS, ".dead-letters/1.json"), True),
    Ask("the watcher sees what was published", "watcher", listing(RESULTS), True),
    Ask("the watcher keeps what was cancelled", "watcher", put(RESULTS, ".cancelled/bridge-7/0123"), True),
    Ask("the watcher takes that back", "watcher", delete(RESULTS, ".cancelled/bridge-7/0123"), True),
    Ask("the watcher marks nothing as published", "watcher", put(RESULTS, ".published/bridge-7/0123/s-0"), False),
    Ask("the watcher moves no pointer", "watcher", put(RESULTS, "bridge-7/latest.json"), False),
    Ask("the watcher writes nothing to the inbox", "watcher", put(INBOX, "bridge-7/deck.tif"), False),
    Ask("the watcher deletes nothing", "watcher", delete(RESULTS, RECORD), False),
    Ask("the inspector reads rasters", "inspector", get(INBOX, "bridge-7/deck.tif"), True),
    Ask("the inspector writes nothing to the inbox", "inspector", put(INBOX, "bridge-7/deck.tif"), False),
    Ask("the inspector deletes nothing of the inbox", "inspector", delete(INBOX, "bridge-7/deck.tif"), False),
    Ask("the inspector deletes no report", "inspector", delete(RESULTS, REPORT), False),
    Ask("the inspector deletes no pointer", "inspector", delete(RESULTS, "bridge-7/latest.json"), False),
    Ask("the inspector deletes no record", "inspector", delete(RESULTS, RECORD), False),
    Ask("the inspector takes a rejection back", "inspector", delete(RESULTS, "bridge-7/rejected.json"), True),
    Ask("the inspector marks a run as published", "inspector-of-aws", put(RESULTS, ".published/b-7/0123/s-0"), True),
    Ask("the inspector takes that mark back", "inspector-of-aws", delete(RESULTS, ".published/b-7/0123/s-0"), True),
    Ask("the inspector sees what is published", "inspector-of-aws", listing(RESULTS), True),
    Ask("the inspector sees what lies in the inbox now", "inspector-of-aws", listing(INBOX), True),
    Ask("the inspector moves the pointer", "inspector-of-aws", put(RESULTS, "bridge-7/latest.json"), True),
    Ask("on AWS it sees no version", "inspector-of-aws", versions(RESULTS), False),
    Ask("on AWS it deletes no version of it", "inspector-of-aws", delete_version("bridge-7/latest.json"), False),
    Ask("elsewhere it sees versions", "inspector", versions(RESULTS), True),
    Ask("elsewhere it deletes its own of the pointer", "inspector", delete_version("bridge-7/latest.json"), True),
    Ask("elsewhere it deletes its own of the catalogue", "inspector", delete_version("collection.json"), True),
    Ask("nowhere does it delete a version of a report", "inspector", delete_version(REPORT), False),
    Ask("nowhere does it delete a version of a record", "inspector", delete_version(RECORD), False),
    Ask("the inspector sees no other bucket", "inspector", listing(OTHER), False),
    Ask("the inspector reads no other bucket", "inspector", get(OTHER, "theirs"), False),
    Ask("the inspector changes no bucket", "inspector", lambda s3: s3.delete_bucket(Bucket=RESULTS), False),
    Ask("the reader reads reports", "reader", get(RESULTS, REPORT), True),
    Ask("the reader writes nothing", "reader", put(RESULTS, REPORT), False),
    Ask("the reader deletes nothing", "reader", delete(RESULTS, REPORT), False),
    Ask("the reader sees no inbox", "reader", listing(INBOX), False),
    Ask("an uploader uploads", "uploader", put(INBOX, "bridge-8/deck.tif"), True),
    Ask("an uploader reads nothing", "uploader", get(INBOX, "bridge-7/deck.tif"), False),
    Ask("an uploader sees nothing", "uploader", listing(INBOX), False),
    Ask("an uploader reaches no results", "uploader", put(RESULTS, REPORT), False),
    Ask("the watcher makes no queue", "watcher", lambda sqs: sqs.create_queue(QueueName="new"), False, "sqs"),
    Ask("the inspector sees no queue", "inspector", lambda sqs: sqs.list_queues(), False, "sqs"),
]


@pytest.mark.parametrize("case", ASKS, ids=lambda case: case.name)
def test_a_role_may_do_what_its_work_needs_and_nothing_else(roles: Roles, case: Ask) -> None:
    client = roles.client(case.role, case.service)
    if case.allowed:
        case.ask(client)
        return
    with pytest.raises(ClientError) as refused:
        case.ask(client)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert "AccessDenied" in str(refused.value.response)


def test_the_inspector_publishes_a_survey_and_the_reader_reads_it(roles: Roles, prefect: str, tmp_path: Path) -> None:
    tiny_survey(tmp_path / "sample")
    for path in sorted((tmp_path / "sample").iterdir()):
        roles.client("uploader").upload_file(str(path), INBOX, f"sample/{path.name}")
    command = ("-m", "flows", "inspect", f"s3://{INBOX}/sample/", "--json")
    done = roles.run("inspector", *command, home=tmp_path, **FORMATS)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    reader = roles.client("reader")
    pointer = json.loads(reader.get_object(Bucket=RESULTS, Key="sample/latest.json")["Body"].read())
    assert pointer["run_key"] == told["run_key"]
    # Done again, now that marks and records of the first run are there to be taken away.
    again = roles.run(
        "inspector", "-m", "flows", "inspect", f"s3://{INBOX}/sample/", "--json", home=tmp_path, **FORMATS
    )
    assert again.returncode == 0, again.stderr
    assert "No permission" not in done.stderr + again.stderr
    assert "E_ACCESS" not in done.stderr + again.stderr


@pytest.mark.parametrize(
    ("role", "asks_history"),
    [("inspector-of-aws", False), ("inspector", True)],
    ids=["as-on-AWS", "on-another-server"],
)
def test_a_pointer_with_versions_is_swapped_by_the_permissions_that_are_documented(
    roles: Roles, role: str, asks_history: bool
) -> None:
    key = f"{role}/latest.json"

    def swap(data: bytes, expected: str | None) -> SwapOutcome:
        client = roles.client(role)
        return ConditionalWrite(client, RESULTS, key, data, expected, f"s3://{RESULTS}/{key}", asks_history).swap()

    first = swap(b"1", None)
    assert first.swapped
    assert swap(b"2", first.etag).swapped
    assert not swap(b"3", first.etag).swapped


WATCH = """
import threading
from flows.settings import Settings
from flows.watch_uploads import watch
print(watch(Settings(), stop=threading.Event(), for_s=5, deployment="record-survey/record-survey"))
"""


def test_the_watcher_records_runs_and_works_its_queue(roles: Roles, prefect: str, tmp_path: Path) -> None:
    from tests.flows.inboxes import apply_recording_deployment

    apply_recording_deployment()
    for name in ("deck.tif", "survey.json"):
        roles.client("uploader").put_object(Bucket=INBOX, Key=f"watched/{name}", Body=b"{}")
    roles.client("root", "sqs").send_message(QueueUrl=roles.queue_url, MessageBody="no notification")
    done = roles.run("watcher", "-c", WATCH, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "AccessDenied" not in done.stderr
    assert "Watched(messages=0" not in done.stdout
    assert "recorded=0" not in done.stdout
    status = roles.run("watcher", "-m", "flows", "status", "--json", home=tmp_path)
    assert status.returncode == 0, status.stderr
    assert "watched" in {one["survey"] for one in json.loads(status.stdout)["surveys"]}


def test_a_refusal_names_the_permission_that_is_missing(roles: Roles, prefect: str, tmp_path: Path) -> None:
    done = roles.run("reader", "-m", "flows", "check", f"s3://{INBOX}/bridge-7/", home=tmp_path)
    assert done.returncode == 4
    assert "E_ACCESS" in done.stderr
    assert "s3:ListBucket" in done.stderr


@pytest.mark.parametrize("name", sorted({name for names in ROLES.values() for name in names}))
def test_no_policy_has_a_wildcard_for_actions_or_for_all_resources(name: str) -> None:
    for statement in policy(name)["Statement"]:
        actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        resources = [statement["Resource"]] if isinstance(statement["Resource"], str) else statement["Resource"]
        assert statement["Effect"] == "Allow"
        assert not any("*" in action for action in actions)
        assert all(resource.startswith((f"arn:aws:s3:::{INBOX}", f"arn:aws:s3:::{RESULTS}", "arn:aws:sqs:"))
                   for resource in resources)  # fmt: skip
        of_queue = [resource for resource in resources if resource.startswith("arn:aws:sqs:")]
        assert all(resource.endswith(":spanscan-uploads") for resource in of_queue)


def test_the_queue_takes_messages_of_the_inbox_alone() -> None:
    (statement,) = policy("queue-policy")["Statement"]
    assert statement["Principal"] == {"Service": "s3.amazonaws.com"}
    assert statement["Action"] == "sqs:SendMessage"
    assert statement["Condition"]["ArnEquals"] == {"aws:SourceArn": f"arn:aws:s3:::{INBOX}"}
    assert "aws:SourceAccount" in statement["Condition"]["StringEquals"]
