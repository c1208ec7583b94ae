"""Faults 1-6, 8, 9, 11 and 16 of the scorecard: what storage does to a run, and the good survey inspected after each.

The small survey goes the whole way of an inspection, through a proxy that fails as planned; masks and reports are
compared byte for byte with those of a run without faults.
"""

import json
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.auth
import pytest
from botocore.config import Config

from segmentation.errors import InputRejected, RunFailed, SpanscanError
from tasks import s3_client as client_settings
from tasks.cluster import dask_client
from tasks.publish import POINTER
from tasks.storage import open_storage
from tests.scorecard.faulty_runs import Inspector, put_survey, write_deck
from tests.servers.fixtures import new_bucket, use
from tests.servers.running import RunningS3
from tests.tasks.faulty_s3 import FaultyS3, faulty_s3

pytestmark = pytest.mark.slow

DECK = "inbox/bridge/deck.tif"


@pytest.fixture(scope="module")
def deck(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_deck(tmp_path_factory.mktemp("upload") / "bridge")


@dataclass
class World:
    """A survey in a bucket, the way to it that fails, and what a run without faults gives."""

    near: Inspector
    far: Inspector
    proxy: FaultyS3
    control: dict[str, str]

    def inspected(self) -> dict[str, str]:
        """Masks and reports of a run through the faults, in a place of its own."""
        return self.near.files(self.far.inspect(results=self.new_place()))

    def refused(self) -> SpanscanError:
        """The error of a run through the faults; nothing is published by it."""
        place = self.new_place()
        with pytest.raises(SpanscanError) as failed:
            self.far.inspect(results=place)
        assert not self.near.storage(f"{place}/bridge").exists(POINTER)
        return failed.value

    def new_place(self) -> str:
        """A prefix for results that no run has used, so that none finds those of another test."""
        return f"results-{uuid.uuid4().hex[:12]}"

    def count(self, line: str) -> int:
        """Requests with this method and a path that ends so."""
        method, _, end = line.partition(" ")
        return sum(one.startswith(method) and one.endswith(end) for one in self.proxy.lines)


@pytest.fixture(scope="module")
def inspector(moto_server: RunningS3, deck: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inspector]:
    bucket = new_bucket(moto_server, "storage faults")
    put_survey(bucket, deck, endpoint_url=moto_server.endpoint_url)
    with dask_client(scheduler=None, workers=1) as client:
        yield Inspector(client, bucket, moto_server.endpoint_url, tmp_path_factory.mktemp("staged"))


@pytest.fixture(scope="module")
def control(inspector: Inspector) -> dict[str, str]:
    return inspector.files(inspector.inspect(results="control"))


@pytest.fixture(scope="class")
def good_afterwards(
    inspector: Inspector, control: dict[str, str], deck: Path, request: pytest.FixtureRequest
) -> Iterator[None]:
    """After the cases of a fault the good survey is put again and gives what it gave before."""
    yield
    put_survey(inspector.bucket, deck, endpoint_url=inspector.endpoint_url)
    assert inspector.files(inspector.inspect(results=f"after-{request.cls.__name__}")) == control


@pytest.fixture
def world(
    inspector: Inspector,
    control: dict[str, str],
    good_afterwards: None,
    deck: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    """The upload is put again after each case."""
    monkeypatch.setattr(client_settings, "_LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr(client_settings, "_CONFIG", client_settings._CONFIG.merge(Config(read_timeout=3)))
    near = replace(inspector, folder=tmp_path / "near")
    with faulty_s3(inspector.endpoint_url) as proxy:
        far = replace(inspector, endpoint_url=proxy.endpoint_url, folder=tmp_path / "far")
        yield World(near, far, proxy, control)
    put_survey(near.bucket, deck, endpoint_url=near.endpoint_url)


class TestFault01ServerErrors:
    @pytest.mark.parametrize("code", ["500", "InternalError", "SlowDown", "TooManyRequests"])
    def test_some_refusals_of_each_kind_of_request_change_no_byte(self, world: World, code: str) -> None:
        for method in ("GET", "HEAD", "PUT"):
            world.proxy.plan(method, code, code)
        world.proxy.plan("GET", code, code, key=DECK)
        world.proxy.plan("PUT", code, key=POINTER)
        assert world.inspected() == world.control

    def test_a_server_that_stays_broken_is_asked_a_bounded_number_of_times(self, world: World) -> None:
        world.proxy.plan_for_good("GET", "SlowDown", key=DECK)
        assert world.refused().code == "E_S3_UNAVAILABLE"
        assert 2 <= world.count(f"GET {DECK}") <= 8

    def test_two_clients_that_failed_together_do_not_come_back_together(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pauses: list[float] = []
        monkeypatch.setattr("time.sleep", pauses.append)
        for failures in (1, 2, 3, 9):
            client_settings.pause(failures)
            client_settings.pause(failures)
        assert len(set(pauses)) == len(pauses)
        assert max(pauses) <= client_settings._LONGEST_PAUSE_S
        retries: Any = vars(client_settings._CONFIG)["_user_provided_options"]["retries"]
        assert retries == {"mode": "standard", "total_max_attempts": 6}


class TestFault02BrokenConnections:
    @pytest.mark.parametrize("fault", ["reset", "cut-body", "stall", "lose-answer"])
    def test_a_connection_that_breaks_changes_no_byte(self, world: World, fault: str) -> None:
        world.proxy.plan("GET", fault, key=DECK)
        world.proxy.plan("GET", fault, key="/c/")
        world.proxy.plan("PUT", "lose-answer", "lose-answer")
        assert world.inspected() == world.control


class TestFault03ChangedByte:
    def test_a_byte_changed_in_transit_is_detected_and_fetched_again(self, world: World) -> None:
        world.proxy.plan("GET", "flip-byte", key=DECK)
        world.proxy.plan("GET", "flip-byte", key="/c/")
        assert world.inspected() == world.control
        assert world.count(f"GET {DECK}") == 2

    def test_bytes_that_change_each_time_are_refused_and_not_inspected(self, world: World) -> None:
        world.proxy.plan_for_good("GET", "flip-byte", key=DECK)
        refused = world.refused()
        assert isinstance(refused, InputRejected)
        assert "E_CHECKSUM" in str(refused)


class TestFault04ExpiredCredentials:
    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
    def test_credentials_that_expire_between_the_plan_and_the_pointer_are_named(
        self, world: World, method: str
    ) -> None:
        plan, place = world.far.planned(results=f"expired-{method}")
        for each in {method, "GET"} if method == "HEAD" else {method}:
            world.proxy.plan_for_good(each, "ExpiredToken")
        with pytest.raises(RunFailed) as failed:
            world.far.finish(plan, place)
        assert failed.value.code == "E_CREDENTIALS"

    def test_credentials_that_expire_while_a_raster_is_fetched_are_no_broken_raster(self, world: World) -> None:
        world.proxy.plan("GET", "cut-body", key=DECK)
        world.proxy.plan_for_good("GET", "ExpiredToken", key=DECK)
        assert world.refused().code == "E_CREDENTIALS"

    def test_credentials_that_can_be_renewed_are(
        self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        script = tmp_path / "keys.py"
        script.write_text(_KEYS)
        (tmp_path / "config").write_text(
            f"[default]\nregion = us-east-1\ncredential_process = {sys.executable} {script} {tmp_path / 'count'}\n"
        )
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        assert world.inspected() == world.control
        assert len(world.proxy.access_keys) > 3


_KEYS = """
import datetime, json, pathlib, sys
count = pathlib.Path(sys.argv[1])
number = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(number))
# So little is left that each request is signed with new ones.
expires = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=60)
print(json.dumps({"Version": 1, "AccessKeyId": f"key{number}", "SecretAccessKey": "secret",
                  "SessionToken": f"token{number}", "Expiration": expires.isoformat()}))
"""


@dataclass(frozen=True)
class Denied:
    """A request that nobody may make, and the permission that an administrator must grant."""

    id: str
    method: str
    key: str
    permission: str
    most_requests: int = 1


class TestFault05AccessDenied:
    @pytest.mark.parametrize(
        "case",
        [
            Denied("the raster may not be read", "GET", DECK, "s3:GetObject"),
            Denied("the raster may not be looked at", "HEAD", DECK, "s3:GetObject", 2),
            Denied("a report may not be written", "PUT", "report.json", "s3:PutObject"),
            Denied("a block may not be written", "PUT", "/c/", "s3:PutObject"),
            Denied("the mask store may not be made", "PUT", "zarr.json", "s3:PutObject"),
            Denied("the pointer may not be moved", "PUT", POINTER, "s3:PutObject"),
        ],
        ids=lambda case: case.id,
    )
    def test_it_fails_at_once_and_names_the_permission(self, world: World, case: Denied) -> None:
        world.proxy.plan_for_good(case.method, "AccessDenied", key=case.key)
        if case.method == "HEAD":
            world.proxy.plan_for_good("GET", "AccessDenied", key=case.key)
        error = world.refused()
        assert (error.code, case.permission in str(error)) == ("E_ACCESS", True)
        asked = [line for line in world.proxy.lines if line.startswith(case.method) and case.key in line]
        assert len(asked) <= case.most_requests


class TestFault06ChangedWhileRead:
    @pytest.fixture(params=[False, True], ids=["bucket without versions", "bucket with versions"])
    def changing(self, request: pytest.FixtureRequest, world: World, moto_server: RunningS3, deck: Path) -> World:
        bucket = new_bucket(moto_server, request.node.nodeid, versioned=request.param)
        put_survey(bucket, deck, endpoint_url=moto_server.endpoint_url)
        near = replace(world.near, bucket=bucket)
        # What is published names the bucket.
        control = near.files(near.inspect(results="control"))
        return replace(world, near=near, far=replace(world.far, bucket=bucket), control=control)

    @pytest.mark.parametrize("fate", ["overwritten", "deleted"])
    def test_it_is_the_pinned_version_or_an_error_and_never_a_mixture(
        self, changing: World, deck: Path, fate: str
    ) -> None:
        storage = changing.near.storage("inbox/bridge")
        other = (deck / "deck.tif").read_bytes()[::-1]

        def meddle() -> None:
            if fate == "deleted":
                storage.delete("deck.tif")
            else:
                storage.write("deck.tif", other, content_type="image/tiff")

        changing.proxy.meddle = meddle
        changing.proxy.plan("GET", "meddle", key=DECK)
        if storage.head("deck.tif").version_id is None:
            assert changing.refused().code == "E_CHANGED"
        else:
            assert changing.inspected() == changing.control


class TestFault08LostAnswer:
    @pytest.mark.parametrize("count", [1, 3], ids=["once", "three times"])
    def test_success_is_told_exactly_once(self, world: World, count: int) -> None:
        world.proxy.plan("PUT", *["lose-answer"] * count, key=POINTER)
        first = world.far.inspect(results=f"lost-{count}")
        assert not first.already_published
        assert world.near.files(first) == world.control
        pointer = world.near.storage(f"lost-{count}/bridge").read(POINTER)
        assert json.loads(pointer)["run_key"] == first.run_key
        assert world.far.inspect(results=f"lost-{count}").already_published
        assert world.near.storage(f"lost-{count}/bridge").read(POINTER) == pointer


class TestFault09TwoRunsAtOnce:
    def test_one_publishes_and_the_other_says_so_and_ends_well(self, world: World) -> None:
        plan, place = world.near.planned(results="twins")
        with ThreadPoolExecutor(2) as pool:
            told = list(pool.map(lambda _: world.near.finish(plan, place), range(2)))
        assert sorted(one.already_published for one in told) == [False, True]
        assert "its reports stand" in next(one for one in told if one.already_published).summary_lines()[-1]
        assert all(world.near.files(one) == world.control for one in told)


class Clock(datetime):
    """The clock of a machine that is two hours off."""

    ahead = timedelta()

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + cls.ahead


class TestFault11Clock:
    @pytest.mark.parametrize("ahead_h", [2, -2], ids=["two hours fast", "two hours slow"])
    def test_the_clock_of_the_publisher_decides_nothing(
        self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead_h: int
    ) -> None:
        results = f"clock-{ahead_h}"
        older = world.near.planned(results=results)
        put_survey(world.near.bucket, write_deck(tmp_path / "newer", seed=4), endpoint_url=world.near.endpoint_url)
        monkeypatch.setattr(Clock, "ahead", timedelta(hours=-ahead_h))
        monkeypatch.setattr("tasks.publish_pointer.datetime", Clock)
        newer = world.near.inspect(results=results)
        monkeypatch.setattr(Clock, "ahead", timedelta(hours=ahead_h))
        late = world.near.finish(*older)
        assert late.superseded_by == newer.run_key
        assert json.loads(world.near.storage(f"{results}/bridge").read(POINTER))["run_key"] == newer.run_key

    @pytest.mark.parametrize("ahead_h", [2, -2], ids=["two hours fast", "two hours slow"])
    def test_a_server_that_minds_is_told_as_a_clock_to_set(
        self, rgw_server: RunningS3, monkeypatch: pytest.MonkeyPatch, ahead_h: int
    ) -> None:
        use(rgw_server, monkeypatch)
        bucket = new_bucket(rgw_server, f"clock {ahead_h}")
        now: Callable[..., datetime] = botocore.auth.get_current_datetime  # type: ignore[attr-defined]
        ahead = timedelta(hours=ahead_h)
        monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *a, **k: now(*a, **k) + ahead)
        storage = open_storage(f"s3://{bucket}", endpoint_url=rgw_server.endpoint_url, region=None)
        with pytest.raises(RunFailed) as failed:
            storage.read("deck.tif")
        assert (failed.value.code, "clock" in str(failed.value)) == ("E_CLOCK", True)


class TestFault16LateAndDuplicateRuns:
    def test_the_late_run_of_an_older_upload_leaves_the_newer_result_published(
        self, world: World, tmp_path: Path
    ) -> None:
        older = world.near.planned(results="late")
        put_survey(world.near.bucket, write_deck(tmp_path / "newer", seed=4), endpoint_url=world.near.endpoint_url)
        newer = world.near.inspect(results="late")
        late = world.near.finish(*older)
        again = world.near.finish(*older)
        pointer = json.loads(world.near.storage("late/bridge").read(POINTER))
        assert pointer["run_key"] == newer.run_key == late.superseded_by == again.superseded_by
        assert newer.superseded_by is None
        assert "a newer upload" in late.summary_lines()[-1]
        assert world.near.files(late) == world.control

    def test_the_same_upload_told_again_is_published_once(self, world: World) -> None:
        told = [world.near.inspect(results="again") for _ in range(3)]
        assert [one.already_published for one in told] == [False, True, True]
        assert len({one.run_key for one in told}) == 1
