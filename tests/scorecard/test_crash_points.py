"""Fault 7 of the scorecard: an inspection is killed at each named point of the code, and asked for again.

Whoever reads meanwhile sees the result that was published before, or the new one, every file of it whole; the second
run leaves the bytes that an undisturbed one leaves. ``-m long`` kills thirty times at each point, at passings drawn by
a fixed seed.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from tasks.crash_points import CRASH_POINTS, CrashPoint
from tests.scorecard.forked_runs import ended, run, started
from tests.scorecard.killed_surveys import SURVEY, fetched_place
from tests.scorecard.killed_worlds import KILLED, World, crashing, undisturbed, upload_state
from tests.scorecard.readers import Reader
from tests.servers.fixtures import new_bucket, use
from tests.servers.running import RunningS3

REPEATS = 30
ON_FETCH: tuple[CrashPoint, ...] = ("before_staged_rename", "after_staged_rename")
ON_REFUSAL: tuple[CrashPoint, ...] = ("after_rejected_file", "after_end_record")
IN_S3: tuple[CrashPoint, ...] = (*ON_FETCH, "after_shard_write", "before_manifest", "before_pointer_swap")
IN_FOLDERS = [point for point in CRASH_POINTS if point not in ON_FETCH + ON_REFUSAL]


@pytest.fixture(scope="module")
def in_s3(moto_server: RunningS3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("killed")
    with pytest.MonkeyPatch.context() as patch:
        use(moto_server, patch)
        yield undisturbed(fetched_place(folder, moto_server, new_bucket(moto_server, "killed")), folder / "told.json")


@cache
def passings(point: str, count: int) -> list[int]:
    """Thirty passings of a point that is passed so often, drawn by a fixed seed."""
    drawn = random.Random(f"{point} {count}")
    return [drawn.randint(1, count) for _ in range(REPEATS)]


@pytest.mark.slow
@pytest.mark.parametrize("point", IN_FOLDERS)
def test_a_run_killed_there_is_whole_to_readers_and_the_next_one_ends_it(in_folders: World, point: CrashPoint) -> None:
    in_folders.survives(point, (in_folders.passed[point] + 1) // 2)


@pytest.mark.slow
@pytest.mark.parametrize("point", IN_S3)
def test_a_run_in_s3_killed_there_is_whole_to_readers_and_the_next_one_ends_it(in_s3: World, point: CrashPoint) -> None:
    in_s3.survives(point, 1)


@pytest.mark.slow
@pytest.mark.parametrize("point", ON_REFUSAL)
def test_a_refusal_killed_there_leaves_the_older_result_and_is_told_by_the_next_run(
    in_folders: World, point: CrashPoint
) -> None:
    place = in_folders.place.with_text_for_a_raster()
    place.begin()
    with Reader(place.storage, SURVEY) as reader:
        assert run(crashing(place.job, point)) == KILLED
        assert run(place.job) == 3
    assert set(reader.seen) == {in_folders.old_run}
    assert upload_state(place) == "rejected"
    refusal = json.loads(place.storage.read(f"{SURVEY}/rejected.json"))
    assert (refusal["code"], refusal["state"]) == ("E_NOT_TIFF", "rejected")


@pytest.mark.long
@pytest.mark.parametrize("repeat", range(REPEATS))
@pytest.mark.parametrize("point", IN_FOLDERS)
def test_thirty_kills_at_each_point(in_folders: World, point: CrashPoint, repeat: int) -> None:
    in_folders.survives(point, passings(point, in_folders.passed[point])[repeat])


@pytest.mark.slow
def test_of_two_processes_that_inspect_it_at_once_one_publishes_and_the_other_says_so(
    in_folders: World, tmp_path: Path
) -> None:
    """Fault 9."""
    place = in_folders.place
    place.begin()
    told = [tmp_path / "one.json", tmp_path / "other.json"]
    with Reader(place.storage, SURVEY) as reader:
        both = [started(replace(place.job, told=path)) for path in told]
        assert [ended(process) for process in both] == [0, 0]
    assert reader.seen in ([in_folders.old_run], [in_folders.old_run, in_folders.new_run])
    assert sorted(json.loads(path.read_text())["already_published"] for path in told) == [False, True]
    in_folders.holds_in(place)


@pytest.mark.slow
def test_every_point_is_passed(in_folders: World, in_s3: World) -> None:
    assert set(CRASH_POINTS) == {*in_folders.passed, *in_s3.passed, *ON_REFUSAL}
