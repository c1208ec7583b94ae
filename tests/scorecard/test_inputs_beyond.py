"""Inputs beyond the numbered list: right figures, or a code with its cause and remedy; never a traceback."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.uploads import results_folder
from segmentation.error_codes import error_codes
from tasks.slugs import slug
from tasks.storage import open_storage
from tasks.uploads.listing import uploads
from tests.scorecard.inputs import Control, Told, check, grid, inspected, mask_of, reports, write_picture
from tests.scorecard.inputs_beyond import BEYOND, Beyond
from tests.tasks.surveys import write_raster
from tests.tasks.test_structures_file import SQUARE, collection, feature, polygon


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What `check` says of a survey of them all."""
    folder = tmp_path_factory.mktemp("beyond")
    for case in BEYOND:
        (folder / "survey").mkdir(exist_ok=True)
        case.make(folder / "survey" / f"{case.id}.tif")
    return check(folder / "survey", home=folder / "home")


@pytest.mark.parametrize("case", BEYOND, ids=lambda case: case.id)
def test_a_raster_is_refused_by_its_code_or_taken_with_its_ground_resolution(case: Beyond, judged: Told) -> None:
    (verdict,) = [raster for raster in judged.record["rasters"] if raster["name"] == f"{case.id}.tif"]
    assert verdict["code"] == case.code, verdict["message"]
    assert case.words in verdict["message"]
    if case.code:
        assert case.code in error_codes()
        assert ". Remedy: " in verdict["message"]
    else:
        assert float(verdict["message"].rpartition("GSD ")[2].split()[0]) == pytest.approx(case.gsd_mm, rel=0.01)


@pytest.mark.slow
def test_what_two_rasters_in_two_crs_show_is_counted_once(control: Control) -> None:
    survey = control.inbox / "twice"
    write_picture(survey / "deck.tif")
    write_picture(survey / "other.tif", crs="EPSG:3857", transform=grid("EPSG:3857"))
    found = reports(inspected(survey, home=control.home, results=control.folder / "twice", report_formats=["html"]))
    (expected,) = reports(control.run).values()
    assert found["deck"]["cracks"]["total_length_m"] == expected["cracks"]["total_length_m"]
    other = found["other"]
    assert other["structure"]["coverage_percent"] == 0.0
    assert other["cracks"] is None or other["cracks"]["total_length_m"] is None


@pytest.mark.slow
def test_a_raster_across_the_antimeridian_gives_the_mask_of_the_control(control: Control) -> None:
    survey = control.inbox / "fiji"
    write_picture(survey / "deck.tif", crs="EPSG:32660", transform=grid("EPSG:32660", at=(180 - 4e-6, -17.0)))
    run = inspected(survey, home=control.home, results=control.folder / "fiji", report_formats=["stac"])
    assert (mask_of(run) == mask_of(control.run)).all()
    (report,), (expected,) = reports(run).values(), reports(control.run).values()
    assert report["cracks"]["total_length_m"] == pytest.approx(expected["cracks"]["total_length_m"], rel=0.01)
    west, _, east, _ = json.loads((run / "stac" / "item.json").read_text())["bbox"]
    assert (west, east) == (pytest.approx(180, abs=1e-4), pytest.approx(-180, abs=1e-4))


@dataclass(frozen=True)
class Document:
    """A document beside a good raster, and what must be said of it."""

    id: str
    code: str
    """Empty: it is taken."""
    content: Any
    words: str = ""
    """What the message, or the problem of the first structure, must say."""


MANIFESTS = [
    Document("with a byte order mark", "", b"\xef\xbb\xbf{}"),
    Document("UTF-16", "", json.dumps({"operator": "é"}).encode("utf-16")),
    Document("NaN", "E_MANIFEST", b'{"gsd_m": NaN}', "gsd_m"),
    Document("an integer that no float holds", "E_MANIFEST", {"gsd_m": 10**400}, "gsd_m"),
    Document("an integer of 5,000 digits", "E_MANIFEST", b'{"gsd_m": 1' + b"0" * 5000 + b"}"),
    Document("text of ten megabytes", "E_MANIFEST", {"operator": "x" * 10_000_000}, "10000 characters"),
    Document("nested 100,000 deep", "E_MANIFEST", b'{"operator":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested"),
    Document("a list", "E_MANIFEST", [1]),
    Document("empty", "E_MANIFEST", b""),
    Document("a time that is a number", "E_MANIFEST", {"captured_at": 20260101}, "captured_at"),
    Document("rasters that are no names", "E_MANIFEST", {"rasters": [["deck.tif"]]}),
    Document("20,000 rasters that are not there", "E_LIMIT", {"rasters": [f"{i}.tif" for i in range(20_000)]}, "20000"),
    Document("a name that turns the line round", "E_NOT_FOUND", {"rasters": ["\u202egpj.tif"]}, "'\\u202egpj.tif'"),
]
HALF_WAY = [[179.9, -17], [-179.9, -17], [-179.9, -16.9], [179.9, -16.9], [179.9, -17]]
STRUCTURES = [
    Document("heights", "", collection(feature(polygon([[*at, 123.4] for at in SQUARE])))),
    Document("an id of ten megabytes", "E_LIMIT", collection(feature(polygon(SQUARE), id="x" * 10_000_000))),
    Document("a name of a megabyte", "E_LIMIT", collection(feature(polygon(SQUARE), name="x" * 1_000_000))),
    Document(
        "ids that differ by what nobody sees",
        "E_DUP_ID",
        collection(feature(polygon(SQUARE), id="a\u200b"), feature(polygon(SQUARE), id="a")),
    ),
    Document("latitude before longitude", "", collection(feature(polygon([[y, x] for x, y in SQUARE]))), "longitudes"),
    Document("half round the earth", "", collection(feature(polygon(HALF_WAY))), "antimeridian"),
    Document("a part of itself", "", collection(feature(polygon(SQUARE), id="a", component_of="a")), "component_of"),
    Document("a hole outside", "", collection(feature(polygon(SQUARE, [[0, 0], [1, 0], [1, 1], [0, 0]]))), "Hole"),
    Document("a map for coordinates", "", collection(feature({"type": "Polygon", "coordinates": {"a": 1}})), "empty"),
    Document("no properties", "", collection({"type": "Feature", "properties": None, "geometry": polygon(SQUARE)})),
]


@pytest.mark.parametrize("case", MANIFESTS, ids=lambda case: case.id)
def test_a_manifest_is_taken_or_refused_in_one_line(case: Document, tmp_path: Path) -> None:
    told = _checked_beside(case, "survey.json", tmp_path)
    assert told.exit_code == (3 if case.code else 0)
    if not case.code:
        assert [raster["verdict"] for raster in told.record["rasters"]] == ["ACCEPT"]
        return
    message = told.record["rasters"][0]["message"] if told.stdout else told.stderr.rstrip("\n")
    assert "\n" not in message
    assert f": {case.code}: " in message
    assert case.words in message
    assert len(message) < 1000
    assert message.removeprefix("spanscan: ").isprintable()


@pytest.mark.parametrize("case", STRUCTURES, ids=lambda case: case.id)
def test_structures_are_taken_or_refused_or_one_of_them_has_a_problem(case: Document, tmp_path: Path) -> None:
    told = _checked_beside(case, "structures.geojson", tmp_path)
    assert told.exit_code == (3 if case.code else 0)
    assert [one["code"] for one in told.record["refused_files"]] == ([case.code] if case.code else [])
    if not case.code:
        problem = told.record["structures"][0]["problem"]
        assert (problem is not None, case.words in (problem or "")) == (bool(case.words), True)
    assert len(told.stdout) < 10_000


def _checked_beside(case: Document, name: str, folder: Path) -> Told:
    survey = write_raster(folder / "survey" / "deck.tif").parent
    data = case.content if isinstance(case.content, bytes) else json.dumps(case.content).encode()
    (survey / name).write_bytes(data)
    return check(survey, home=folder)


@dataclass(frozen=True)
class Spoilt:
    """Something in a folder of surveys that is no file that anybody can read."""

    id: str
    make: Callable[[Path], object]
    """Of the survey's folder."""


SPOILT = [
    Spoilt("a link to itself", lambda folder: (folder / "loop.tif").symlink_to("loop.tif")),
    Spoilt("a link to its folder", lambda folder: (folder / "inner").symlink_to(".")),
    Spoilt("a link to nothing", lambda folder: (folder / "gone.tif").symlink_to("/nowhere")),
    Spoilt("a survey.json that is a folder", lambda folder: (folder / "survey.json").mkdir()),
    Spoilt("a pipe", lambda folder: os.mkfifo(folder / "pipe.tif")),
    Spoilt("a survey that is a link to itself", lambda folder: (folder.parent / "loop").symlink_to("loop")),
    Spoilt("a name that is no UTF-8", lambda folder: Path(os.fsdecode(bytes(folder) + b"/\xff.tif")).touch()),
]
_SEEN = """
import json, sys
from tasks.storage import open_storage
from tasks.uploads.listing import uploads
found = uploads(open_storage(sys.argv[1], endpoint_url=None, region=None))
print(json.dumps({one.name: [file.name for file in one.files] for one in found}))
"""


def _as_anybody(*command: str) -> list[str]:
    """The command as root does it who may not read whatever he likes."""
    if os.geteuid() != 0:
        return list(command)
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root reads everything, and there is no setpriv")
    return [setpriv, "--bounding-set", "-dac_override,-dac_read_search", *command]


@pytest.mark.parametrize("case", SPOILT, ids=lambda case: case.id)
def test_what_spoils_one_folder_of_an_inbox_holds_no_other_survey_up(case: Spoilt, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    for name in ("a", "b", "c"):
        write_raster(inbox / name / "deck.tif")
    case.make(inbox / "b")
    assert _seen(inbox) == {name: ["deck.tif"] for name in ("a", "b", "c")}


def test_a_folder_that_may_not_be_listed_is_told_and_holds_no_other_survey_up(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_raster(tmp_path / name / "deck.tif")
    (tmp_path / "b").chmod(0)
    command = _as_anybody(sys.executable, "-c", _SEEN, str(tmp_path))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (tmp_path / "b").chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"a": ["deck.tif"], "c": ["deck.tif"]}
    assert "Permission denied" in done.stderr


def _seen(inbox: Path) -> dict[str, list[str]]:
    found = uploads(open_storage(str(inbox), endpoint_url=None, region=None))
    return {one.name: [file.name for file in one.files] for one in found}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deck.tif", "structures.geojson", "survey.json"])
def test_a_file_that_may_not_be_read_is_told_as_that(name: str, tmp_path: Path) -> None:
    survey = write_raster(tmp_path / "survey" / "deck.tif").parent
    (survey / name).touch()
    (survey / name).chmod(0)
    command = _as_anybody(sys.executable, "-m", "flows", "check", str(survey), "--json")
    environment = {**os.environ, "SPANSCAN_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    (line,) = done.stderr.splitlines()
    assert f"{name}: E_ACCESS: " in line


def test_surveys_in_other_scripts_have_folders_of_their_own(tmp_path: Path) -> None:
    """Symptom to guard against: all names without a Latin letter led to one folder of results."""
    names = ["橋脚", "塔", "мост", "🌉", "Bridge 7", "bridge_7", "bridge-7", "Brücke", "Bru\u0308cke", "Brucke"]
    for name in names:
        write_raster(tmp_path / name / "deck.tif")
    found = [one.name for one in uploads(open_storage(str(tmp_path), endpoint_url=None, region=None))]
    assert len({results_folder(name) for name in found}) == len(names)
    assert results_folder("bridge-7") == "bridge-7"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=80), min_size=2, max_size=2, unique=True))
def test_a_folder_of_results_is_a_plain_name_and_nobody_elses(names: list[str]) -> None:
    one, other = (results_folder(name) for name in names)
    assert one != other
    assert slug(one, fallback="x") == one
    assert len(one) <= 60
