"""Rows 35 to 37 of the scorecard: keys that are refused, keys that are odd and right, and text that must stay inert."""

import hashlib
import json
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from segmentation.errors import InputRejected
from tasks.s3_client import s3_client
from tasks.s3_server import EmbeddedS3
from tests.browser.conftest import Open
from tests.browser.survey import NAMES
from tests.scorecard.inputs import Control, Row, check, discovered, inspected, mask_of, published_bytes, write_picture
from tests.tasks.surveys import write_raster


@dataclass(frozen=True)
class RefusedKey(Row):
    """A key that must be refused."""

    address: str = "s3://no-such-bucket/inbox/"
    manifest: Any = None


REFUSED_KEYS = [
    RefusedKey("35 dot segments in the address", address="s3://bucket/inbox/../secret/"),
    RefusedKey("35 a newline in the address", address="s3://bucket/in\nbox/"),
    RefusedKey("35 NUL in the address", address="s3://bucket/in\0box/"),
    RefusedKey("35 a leading slash in the address", address="s3://bucket//etc/"),
    RefusedKey("35 dot segments in survey.json", manifest={"rasters": ["../deck.tif"]}),
    RefusedKey("35 a newline in survey.json", manifest={"rasters": ["de\nck.tif"]}),
    RefusedKey("35 NUL in survey.json", manifest={"rasters": ["deck.tif\0.png"]}),
    RefusedKey("35 a leading slash in survey.json", manifest={"rasters": ["/etc/deck.tif"]}),
]


@pytest.mark.parametrize("case", REFUSED_KEYS, ids=lambda case: case.id)
def test_a_hostile_key_is_refused_in_one_line(case: RefusedKey, tmp_path: Path) -> None:
    address = case.address
    if case.manifest is not None:
        address = str(write_raster(tmp_path / "survey" / "deck.tif").parent)
        (tmp_path / "survey" / "survey.json").write_text(json.dumps(case.manifest))
    told = check(address, home=tmp_path)
    assert told.exit_code == 3
    (line,) = told.stderr.splitlines()
    assert ": E_KEY: " in line
    if case.manifest is None:
        return
    with pytest.raises(InputRejected) as refused:
        discovered(address, home=tmp_path, results=tmp_path / "results")
    assert refused.value.code == "E_KEY"
    assert json.loads((tmp_path / "results" / "survey" / "rejected.json").read_text())["code"] == "E_KEY"


KEYS_IN_S3 = [
    Row("35 a bell in a key of S3"),
    Row("35 a deletion in a key of S3"),
]
_NAMES_IN_S3 = dict(zip((case.id for case in KEYS_IN_S3), ("de\x07ck.tif", "deck\x7f.tif"), strict=True))


@pytest.fixture(scope="module")
def keys_in_s3(s3_server: EmbeddedS3, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `check` says of a survey in S3 with all of them and a good one: the code by the name that it shows."""
    home = tmp_path_factory.mktemp("keys")
    data = write_raster(home / "deck.tif").read_bytes()
    client = s3_client(endpoint_url=s3_server.endpoint_url, region=None)
    client.create_bucket(Bucket="hostile-keys")
    for name in ("good.tif", *_NAMES_IN_S3.values()):
        client.put_object(Bucket="hostile-keys", Key=f"inbox/bridge/{name}", Body=data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPANSCAN_S3_ENDPOINT_URL", s3_server.endpoint_url)
        told = check("s3://hostile-keys/inbox/bridge/", home=home)
    return {one["name"]: one["code"] for one in told.record["rasters"]}


@pytest.mark.parametrize("case", KEYS_IN_S3, ids=lambda case: case.id)
def test_a_hostile_key_in_s3_is_refused_and_the_good_one_beside_it_taken(case: Row, keys_in_s3: dict[str, str]) -> None:
    assert keys_in_s3[ascii(_NAMES_IN_S3[case.id])] == "E_KEY"
    assert keys_in_s3["good.tif"] == ""


@dataclass(frozen=True)
class OddKey(Row):
    """A key that is odd and right."""

    key: str


ODD_KEYS = [
    OddKey("36 spaces", "deck  7 east .tif"),
    OddKey("36 plus and percent", "a+b%20c%2Fd.tif"),
    OddKey("36 number sign, question mark, ampersand", "deck#7?x=1&y.tif"),
    OddKey("36 quotes", "the 'old' \"deck\"`.tif"),
    OddKey("36 what looks like an address", "s3:__bucket!zip+https.tif"),
    OddKey("36 other scripts", "橋脚 جسر Мост.tif"),
    OddKey("36 composed letters (NFC)", "Br\u00fccke.tif"),
    OddKey("36 decomposed letters (NFD)", "Bru\u0308cke.tif"),
]


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A survey of all odd keys, each of another width, and the SHA-256 of each."""
    folder = tmp_path_factory.mktemp("odd") / "Brücke #7 + 100%"
    for number, case in enumerate(ODD_KEYS):
        write_raster(folder / case.key, np.full((3, 64, 64 + number), 90, np.uint8))
    return folder, {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.fixture(scope="session")
def found(odd: tuple[Path, dict[str, str]], s3_server: EmbeddedS3) -> dict[str, dict[str, tuple[str, int]]]:
    """By place and key: the SHA-256 and the width of what was taken for that key."""
    folder, _ = odd
    client = s3_client(endpoint_url=s3_server.endpoint_url, region=None)
    client.create_bucket(Bucket="odd-keys")
    for path in folder.iterdir():
        client.upload_file(str(path), "odd-keys", f"inbox/{folder.name}/{path.name}")
    places: dict[str, Any] = {"folder": folder, "S3": f"s3://odd-keys/inbox/{folder.name}/"}
    home, taken = folder.parent, {}
    for place, address in places.items():
        survey = discovered(address, home=home, results=home / place, s3_endpoint_url=s3_server.endpoint_url)
        taken[place] = {r.name: (r.source.sha256, r.georeference.width) for r in survey.rasters}
    return taken


@pytest.mark.parametrize("place", ["folder", "S3"])
@pytest.mark.parametrize("case", ODD_KEYS, ids=lambda case: case.id)
def test_an_odd_key_leads_to_its_own_object(
    case: OddKey, place: str, odd: tuple[Path, dict[str, str]], found: dict[str, dict[str, tuple[str, int]]]
) -> None:
    assert found[place][case.key] == (odd[1][case.key], 64 + ODD_KEYS.index(case))


@pytest.mark.slow
def test_an_odd_key_gives_the_mask_of_the_control(control: Control) -> None:
    survey = control.inbox / "Brücke #7 + 100%"
    write_picture(survey / "a+b%20 #é 'x'.tif")
    run = inspected(survey, home=control.home, results=control.folder / "odd", report_formats=["html"])
    assert np.array_equal(mask_of(run, "a-b-20-e-x"), mask_of(control.run))


SCRIPT = "<script>window.hacked=9;alert(9)</script>"
FORMULA = '=HYPERLINK("http://127.0.0.1:9/","x")'
HOSTILE_TEXT = [Row("37 script text and formulas in tags, names, ids and keys")]


class _Inert(HTMLParser):
    """Fails where a page holds what its own templates never write."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not [name for name, _ in attrs if name.startswith("on")], attrs
        assert not [
            value for name, value in attrs if name in ("src", "href") and (value or "").startswith("javascript")
        ]


@pytest.fixture(scope="session")
def hostile_run(control: Control) -> Path:
    """A run whose raster, tags, survey, structures and ids are all hostile."""
    survey = control.inbox / "=cmd <b>x"
    raster = write_picture(survey / f"{SCRIPT.replace('/', '')}.tif")
    with rasterio.open(raster, "r+") as dataset:
        dataset.update_tags(TIFFTAG_IMAGEDESCRIPTION=SCRIPT, TIFFTAG_ARTIST=FORMULA, TIFFTAG_SOFTWARE=SCRIPT)
    (survey / "survey.json").write_text(json.dumps({"operator": SCRIPT}))
    found = discovered(survey, home=control.home, results=control.folder / "text")
    place = found.rasters[0].georeference
    rows, cols = np.array([0.0, 0, place.height, place.height, 0]), np.array([0.0, place.width, place.width, 0, 0])
    ring = np.column_stack(place.lonlat_from_pixel(rows, cols)).tolist()
    features = [
        {
            "type": "Feature",
            "properties": {"id": f"{FORMULA}{number}", "name": name, "kind": SCRIPT, "material": FORMULA},
            "geometry": {"type": "Polygon", "coordinates": [ring]},
        }
        for number, name in enumerate((SCRIPT, FORMULA, *(name.text for name in NAMES[:3])))
    ]
    (survey / "structures.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return inspected(survey, home=control.home, results=control.folder / "text")


@pytest.mark.slow
@pytest.mark.parametrize("case", HOSTILE_TEXT, ids=lambda case: case.id)
def test_hostile_text_is_words_in_html_pdf_and_csv_and_its_paths_are_slugs(case: Row, hostile_run: Path) -> None:
    pages = [hostile_run / "index.html", *hostile_run.glob("structures/*/report.html")]
    assert len(pages) == 6
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert SCRIPT not in text
        assert "Content-Security-Policy" in text
        _Inert().feed(text)
    for path in hostile_run.glob("structures/*"):
        assert re.fullmatch(r"[a-z0-9-]{1,64}", path.name)
        pdf = (path / "report.pdf").read_bytes()
        assert not [word for word in (b"/JavaScript", b"/JS ", b"/Launch", b"/OpenAction") if word in pdf]
    for line in (hostile_run / "defects.csv").read_text(encoding="utf-8").splitlines()[1:]:
        assert not [
            cell for cell in re.split(r",(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)", line) if cell.strip('"').startswith("=")
        ]


@pytest.mark.browser
@pytest.mark.parametrize("case", HOSTILE_TEXT, ids=lambda case: case.id)
def test_no_page_of_it_does_anything_in_a_browser(case: Row, hostile_run: Path, open_page: Open) -> None:
    for page in (hostile_run / "index.html", *hostile_run.glob("structures/*/report.html")):
        open_page(page.as_uri()).assert_quiet()


@pytest.mark.slow
def test_after_these_the_good_survey_gives_the_same_bytes(control: Control) -> None:
    control.assert_unchanged()
    assert published_bytes(control.run) == control.published
