"""When an upload is whole, and what names its content."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.uploads.completeness import Upload, UploadedFile, judge, survey_and_file

START = datetime(2026, 11, 22, 10, tzinfo=UTC)
QUIET_S = 900.0


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def upload(files: dict[str, float], *, seen: float, in_parts: bool = False) -> Upload:
    """Files by the second at which they were written."""
    made = (UploadedFile(name, 7, f"tag-{name}", at(second)) for name, second in sorted(files.items()))
    return Upload("bridge-7", tuple(made), at(seen), in_parts)


@dataclass(frozen=True)
class Case:
    id: str
    upload: Upload
    complete: bool
    due_s: float | None = None
    listed: Sequence[str] | None = None
    heard_s: float | None = None


CASES = [
    Case("a-raster-alone-waits-for-quiet", upload({"a.tif": 0}, seen=10), False, due_s=900),
    Case("a-raster-alone-after-quiet", upload({"a.tif": 0}, seen=900), True),
    Case("quiet-counts-from-the-last-file", upload({"a.tif": 0, "b.tif": 700}, seen=1000), False, due_s=1600),
    Case("a-manifest-that-came-last", upload({"a.tif": 0, "survey.json": 5}, seen=5), True),
    Case("a-manifest-in-the-same-second", upload({"a.tif": 5, "survey.json": 5}, seen=5), True),
    Case("a-raster-after-the-manifest-waits", upload({"a.tif": 9, "survey.json": 5}, seen=9), False, due_s=909),
    Case("a-manifest-without-raster-waits", upload({"survey.json": 5}, seen=6), False, due_s=905),
    Case("all-listed-are-there", upload({"a.tif": 9, "survey.json": 5}, seen=9), True, listed=["a.tif"]),
    Case("a-listed-one-is-absent", upload({"a.tif": 0, "survey.json": 5}, seen=9), False, listed=["a.tif", "b.tif"]),
    Case("absent-however-long", upload({"a.tif": 0, "survey.json": 5}, seen=1e6), False, listed=["a.tif", "b.tif"]),
    Case("something-still-comes-in-parts", upload({"a.tif": 0}, seen=1e6, in_parts=True), False, due_s=1e6 + 900),
    Case("a-large-file-is-dated-by-its-begin", upload({"a.tif": 0}, seen=5000), False, due_s=5800, heard_s=4900),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_an_upload_is_whole_or_waits(case: Case) -> None:
    heard_at = None if case.heard_s is None else at(case.heard_s)
    found = judge(case.upload, listed_rasters=case.listed, quiet_s=QUIET_S, heard_at=heard_at)
    assert found.complete is case.complete, found.why
    assert found.due_at == (None if case.due_s is None else at(case.due_s))


def test_what_is_said_to_be_due_is_whole_then() -> None:
    for case in CASES:
        if case.due_s is not None and not case.upload.parts_under_way:
            later = replace(case.upload, seen_at=at(case.due_s))
            assert judge(later, listed_rasters=case.listed, quiet_s=QUIET_S).complete


NAMES = st.sampled_from(["a.tif", "b.TIF", "c.tiff", "structures.geojson", "survey.json"])
OTHERS = st.sampled_from(["notes.txt", "a.tif.aux.xml", ".hidden.tif", "photo.jpg"])


@given(st.dictionaries(NAMES, st.integers(0, 99)), st.dictionaries(OTHERS, st.integers(0, 99)), st.integers(0, 99))
def test_the_content_is_named_by_what_makes_a_survey_and_by_nothing_else(
    files: dict[str, int], others: dict[str, int], later: int
) -> None:
    one = upload(dict(files), seen=100)
    moved = upload({**{name: second + later for name, second in files.items()}, **others}, seen=500)
    assert one.content == moved.content


@given(st.dictionaries(NAMES, st.just(0.0), min_size=1), st.data())
def test_another_content_has_another_name(files: dict[str, float], data: st.DataObject) -> None:
    one = upload(files, seen=100)
    place = data.draw(st.integers(0, len(one.files) - 1))
    other = replace(one.files[place], etag="another")
    changed = replace(one, files=(*one.files[:place], other, *one.files[place + 1 :]))
    fewer = replace(one, files=(*one.files[:place], *one.files[place + 1 :]))
    assert len({one.content, changed.content, fewer.content}) == 3


@dataclass(frozen=True)
class Key:
    id: str
    key: str
    place: tuple[str, str] | None


KEYS = [
    Key("a-file-of-a-survey", "in/bridge 7/a.tif", ("bridge 7", "a.tif")),
    Key("a-file-in-the-inbox-itself", "in/a.tif", None),
    Key("a-file-deeper-down", "in/bridge/sub/a.tif", None),
    Key("a-folder-marker", "in/bridge/", None),
    Key("another-prefix", "out/bridge/a.tif", None),
    Key("a-prefix-that-only-begins-alike", "inbox/bridge/a.tif", None),
    Key("dots-that-would-leave-the-inbox", "in/../a.tif", None),
    Key("a-control-character", "in/bridge\n/a.tif", None),
]


@pytest.mark.parametrize("case", KEYS, ids=lambda k: k.id)
def test_the_survey_of_a_key(case: Key) -> None:
    assert survey_and_file(case.key, prefix="in/") == case.place
