"""Publishers in processes of their own swap one pointer: for each of its states exactly one is told success."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tasks.storage import open_storage
from tests.servers.fixtures import new_bucket
from tests.servers.running import RunningS3

ROUNDS = 25


@contextmanager
def publisher(uri: str, endpoint_url: str, name: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.storage.publisher", uri, endpoint_url, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ask(process: "subprocess.Popen[str]", tag: str | None) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{tag or '-'}\n")
    process.stdin.flush()


def answer(process: "subprocess.Popen[str]") -> tuple[str, str]:
    assert process.stdout is not None
    told, _, tag = process.stdout.readline().strip().partition(" ")
    return told, tag


@pytest.mark.slow
@pytest.mark.parametrize("versioned", [False, True], ids=["bucket without versions", "bucket with versions"])
@pytest.mark.parametrize("count", [2, 4], ids=["two publishers", "four publishers"])
def test_of_publishers_at_once_exactly_one_is_told_success(any_s3: RunningS3, versioned: bool, count: int) -> None:
    bucket = new_bucket(any_s3, f"race {any_s3.name} {versioned} {count}", versioned=versioned)
    uri = f"s3://{bucket}/results/bridge"
    storage = open_storage(uri, endpoint_url=any_s3.endpoint_url, region=None)
    with ExitStack() as running:
        names = [f"publisher {n}" for n in range(count)]
        processes = [running.enter_context(publisher(uri, any_s3.endpoint_url, name)) for name in names]
        tag: str | None = None
        for number in range(ROUNDS):
            for process in processes:
                ask(process, tag)
            told = dict(zip(names, map(answer, processes), strict=True))
            winners = [name for name, (word, _) in told.items() if word == "swapped"]
            assert len(winners) == 1, (number, told)
            assert storage.read("latest.json") == f"{winners[0]} {number}".encode()
            tag = storage.head("latest.json").etag
            assert told[winners[0]][1] == tag


def test_writers_that_expect_each_others_content_leave_a_chain_without_a_gap(any_s3: RunningS3) -> None:
    """Symptom to guard against: a swap succeeds over a state that its caller never saw."""
    bucket = new_bucket(any_s3, f"chain {any_s3.name}")
    storage = open_storage(f"s3://{bucket}/results", endpoint_url=any_s3.endpoint_url, region=None)
    first = storage.swap("latest.json", b"0", expected=None)
    second = storage.swap("latest.json", b"1", expected=first.etag)
    assert second.swapped
    assert not storage.swap("latest.json", b"2", expected=first.etag).swapped
    assert storage.swap("latest.json", b"2", expected=second.etag).swapped
    storage.delete("latest.json")
    assert not storage.swap("latest.json", b"3", expected=second.etag).swapped
    assert storage.swap("latest.json", b"3", expected=None).swapped
    assert storage.read("latest.json") == b"3"
