"""A survey is taken whole or refused whole, from S3 as from a folder, and `check` says the same."""

import hashlib
import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segmentation.errors import InputRejected
from segmentation.records import Survey
from tasks.discover import ACCEPT, REJECT, CheckReport, InputRules, check, discover
from tasks.s3_client import s3_client
from tasks.s3_server import EmbeddedS3
from tasks.slugs import survey_folder
from tasks.staging import staged
from tasks.storage import open_storage
from tasks.survey_rejected import SurveyRejected
from tests.tasks.surveys import GSD_M, LIMITS, UTM_PLACE, picture, write_raster

SQUARE = [[-92.0, 46.0], [-91.9, 46.0], [-91.9, 46.1], [-92.0, 46.1], [-92.0, 46.0]]
STRUCTURES = json.dumps(
    {"type": "Feature", "properties": {"id": "P1"}, "geometry": {"type": "Polygon", "coordinates": [SQUARE]}}
)


@dataclass
class Place:
    """A survey's files on disk, and the address under which the tested code is to find them."""

    folder: Path
    endpoint_url: str | None
    bucket: str | None

    def address(self) -> str:
        """Publish the files; the survey's address."""
        if self.bucket is None:
            return str(self.folder)
        storage = open_storage(
            f"s3://{self.bucket}/inbox/{self.folder.name}", endpoint_url=self.endpoint_url, region=None
        )
        for path in self.folder.iterdir():
            storage.upload(path, path.name)
        return storage.uri("")

    def rules(self, **changes: Any) -> InputRules:
        rules: dict[str, Any] = {
            "endpoint_url": self.endpoint_url,
            "region": None,
            "staging_dir": self.folder.parent / "staging",
            "gsd_range_m": (0.0005, 0.005),
            "gsd_m_override": None,
            "rgb_bands": None,
            "limits": LIMITS,
        }
        return InputRules(**(rules | changes))

    def discover(self, *, skip_rejected: bool = False, **changes: Any) -> Survey:
        return discover(self.address(), rules=self.rules(**changes), skip_rejected=skip_rejected)

    def check(self, **changes: Any) -> CheckReport:
        return check(self.address(), rules=self.rules(**changes))


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    folder = tmp_path / "Bridge 7"
    folder.mkdir()
    if request.param == "folder":
        return Place(folder, None, None)
    server: EmbeddedS3 = request.getfixturevalue("s3_server")
    bucket = f"discover-{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:20]}"
    s3_client(endpoint_url=server.endpoint_url, region=None).create_bucket(Bucket=bucket)
    return Place(folder, server.endpoint_url, bucket)


def test_a_survey_has_its_rasters_in_order_pinned_and_staged(place: Place) -> None:
    for name in ("b.tif", "a +%#é.TIFF"):
        write_raster(place.folder / name)
    (place.folder / "structures.geojson").write_text(STRUCTURES)
    survey = place.discover()
    assert survey.id == survey_folder("Bridge 7")
    assert [r.name for r in survey.rasters] == ["a +%#é.TIFF", "b.tif"]
    assert [r.slug for r in survey.rasters] == ["a-e", "b"]
    assert [s.id for s in survey.structures] == ["P1"]
    assert survey.structures_source is not None
    assert survey.warnings == ()
    for raster in survey.rasters:
        path = staged(
            raster.source, staging_dir=place.folder.parent / "staging", endpoint_url=place.endpoint_url, region=None
        )
        assert path.read_bytes() == (place.folder / raster.name).read_bytes()
        assert raster.source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert raster.gsd_m == pytest.approx(GSD_M, rel=0.01)
    assert pickle.loads(pickle.dumps(survey)) == survey
    if place.bucket is None:
        assert place.discover() == survey


def test_without_structures_each_raster_is_one(place: Place) -> None:
    write_raster(place.folder / "pier 1.tif")
    write_raster(place.folder / "pier-1.tif")
    survey = place.discover()
    assert [(s.id, s.slug, s.raster_name, s.footprint) for s in survey.structures] == [
        ("pier 1", "pier-1", "pier 1.tif", None),
        ("pier-1", "pier-1-2", "pier-1.tif", None),
    ]
    assert len({r.slug for r in survey.rasters}) == 2


def test_a_raster_without_a_place_on_the_earth_is_a_structure_beside_those_of_the_file(place: Place) -> None:
    write_raster(place.folder / "deck.tif")
    write_raster(place.folder / "P1.tif", crs=None, transform=None)
    (place.folder / "structures.geojson").write_text(STRUCTURES)
    (place.folder / "survey.json").write_text(json.dumps({"gsd_m": 0.003}))
    survey = place.discover()
    assert [(s.id, s.raster_name) for s in survey.structures] == [("P1", None), ("p1-2", "P1.tif")]
    assert len({s.slug for s in survey.structures}) == 2


def test_the_operators_gsd_goes_before_the_manifests(place: Place) -> None:
    write_raster(place.folder / "face.tif", crs=None, transform=None)
    (place.folder / "survey.json").write_text(
        json.dumps({"gsd_m": 0.003, "captured_at": "2025-05-01T10:00:00Z", "operator": "A"})
    )
    survey = place.discover()
    assert survey.rasters[0].gsd_m == pytest.approx(0.003)
    assert (survey.captured_at, survey.operator) == ("2025-05-01T10:00:00Z", "A")
    assert place.discover(gsd_m_override=0.004).rasters[0].gsd_m == pytest.approx(0.004)


def spoil(place: Place) -> None:
    write_raster(place.folder / "good.tif")
    write_raster(place.folder / "grey.tif", picture(1))
    (place.folder / "text.tif").write_text("hello")


def test_one_bad_raster_refuses_the_survey_and_all_bad_ones_are_told_a_line_each(place: Place) -> None:
    spoil(place)
    with pytest.raises(SurveyRejected) as refused:
        place.discover()
    assert refused.value.exit_code == 3
    assert [(r.name, r.code) for r in refused.value.rejected] == [("grey.tif", "E_BANDS"), ("text.tif", "E_NOT_TIFF")]
    lines = str(refused.value).split("\n")
    assert [line.split(": ")[0] for line in lines] == ["grey.tif", "text.tif"]
    again = pickle.loads(pickle.dumps(refused.value))
    assert (again.rejected, str(again)) == (refused.value.rejected, str(refused.value))


def test_the_survey_goes_on_without_the_bad_ones_when_asked_and_says_so(place: Place) -> None:
    spoil(place)
    survey = place.discover(skip_rejected=True)
    assert [r.name for r in survey.rasters] == ["good.tif"]
    assert [r.code for r in survey.rejected] == ["E_BANDS", "E_NOT_TIFF"]
    assert "2 rasters were refused" in " ".join(survey.warnings)
    (place.folder / "good.tif").write_bytes(b"")
    with pytest.raises(SurveyRejected):
        place.discover(skip_rejected=True)


def test_check_says_what_discover_would(place: Place) -> None:
    spoil(place)
    (place.folder / "structures.geojson").write_text("{")
    report = place.check()
    assert [(r.name, r.verdict, r.code) for r in report.rasters] == [
        ("good.tif", ACCEPT, ""),
        ("grey.tif", REJECT, "E_BANDS"),
        ("text.tif", REJECT, "E_NOT_TIFF"),
    ]
    assert [f.code for f in report.refused_files] == ["E_GEOJSON"]
    assert not report.accepted
    for name in ("grey.tif", "text.tif"):
        write_raster(place.folder / name)
    (place.folder / "structures.geojson").write_text(STRUCTURES)
    report = place.check()
    assert report.accepted
    assert "GSD 2.00" in report.rasters[0].message or "GSD 1.99" in report.rasters[0].message


def test_the_manifest_chooses_the_rasters_and_vouches_for_them(place: Place) -> None:
    write_raster(place.folder / "a.tif")
    write_raster(place.folder / "b.tif")
    sha256 = hashlib.sha256((place.folder / "a.tif").read_bytes()).hexdigest()
    manifest = {"rasters": [{"name": "a.tif", "sha256": sha256}]}
    (place.folder / "survey.json").write_text(json.dumps(manifest))
    survey = place.discover()
    assert [r.name for r in survey.rasters] == ["a.tif"]
    assert "b.tif" in " ".join(survey.warnings)
    (place.folder / "survey.json").write_text(json.dumps({"rasters": [{"name": "a.tif", "sha256": "0" * 64}, "c.tif"]}))
    with pytest.raises(SurveyRejected) as refused:
        place.discover()
    assert {(r.name, r.code) for r in refused.value.rejected} == {("a.tif", "E_CHECKSUM"), ("c.tif", "E_NOT_FOUND")}
    assert [r.code for r in place.check().rasters] == ["E_CHECKSUM", "E_NOT_FOUND"]


MANIFESTS: dict[str, tuple[str, Any]] = {
    "a-list": ("E_MANIFEST", []),
    "a-time-that-is-none": ("E_MANIFEST", {"captured_at": "yesterday"}),
    "a-gsd-in-words": ("E_MANIFEST", {"gsd_m": "2 mm"}),
    "a-gsd-of-nan": ("E_MANIFEST", {"gsd_m": float("nan")}),
    "a-gsd-of-0": ("E_MANIFEST", {"gsd_m": 0}),
    "no-rasters": ("E_MANIFEST", {"rasters": []}),
    "a-raster-twice": ("E_MANIFEST", {"rasters": ["a.tif", "a.tif"]}),
    "a-raster-elsewhere": ("E_KEY", {"rasters": ["../a.tif"]}),
    "a-raster-below": ("E_KEY", {"rasters": ["sub/a.tif"]}),
    "a-checksum-that-is-none": ("E_MANIFEST", {"rasters": [{"name": "a.tif", "sha256": "abc"}]}),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_manifest_that_cannot_be_meant_is_refused(tmp_path: Path, case: str) -> None:
    place = Place(tmp_path, None, None)
    write_raster(tmp_path / "a.tif")
    code, manifest = MANIFESTS[case]
    (tmp_path / "survey.json").write_text(json.dumps(manifest))
    with pytest.raises(InputRejected) as refused:
        place.discover()
    assert refused.value.code == code


def test_nothing_there_is_told_as_that(place: Place) -> None:
    with pytest.raises(InputRejected) as refused:
        place.discover()
    assert refused.value.code == "E_NO_RASTERS"
    (place.folder / "photo.jpg").write_bytes(b"x")
    with pytest.raises(InputRejected) as refused:
        place.discover()
    assert refused.value.code == "E_NO_RASTERS"


def test_a_path_that_leads_nowhere_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(InputRejected) as refused:
        discover(str(tmp_path / "none"), rules=Place(tmp_path, None, None).rules(), skip_rejected=False)
    assert refused.value.code == "E_NOT_FOUND"


def test_one_raster_is_a_survey(place: Place) -> None:
    write_raster(place.folder / "Deck A.tif")
    write_raster(place.folder / "other.tif", transform=UTM_PLACE)
    survey = discover(f"{place.address().rstrip('/')}/Deck A.tif", rules=place.rules(), skip_rejected=False)
    assert (survey.id, [r.name for r in survey.rasters]) == (survey_folder("Deck A"), ["Deck A.tif"])


def test_a_name_over_two_lines_is_refused_in_one_line_and_the_good_one_beside_it_taken(tmp_path: Path) -> None:
    place = Place(tmp_path / "s", None, None)
    write_raster(place.folder / "good.tif")
    write_raster(place.folder / "two\nlines.tif")
    report = place.check()
    assert [(r.name, r.code) for r in report.rasters] == [("good.tif", ""), ("'two\\nlines.tif'", "E_KEY")]
    with pytest.raises(SurveyRejected) as refused:
        place.discover()
    assert "\n" not in str(refused.value)


def test_names_in_nfc_and_nfd_are_two_objects(s3_server: EmbeddedS3, tmp_path: Path) -> None:
    client = s3_client(endpoint_url=s3_server.endpoint_url, region=None)
    client.create_bucket(Bucket="twins")
    for number, key in enumerate(("Br\u00fccke.tif", "Bru\u0308cke.tif")):
        path = write_raster(tmp_path / f"{number}.tif", np.full((3, 64, 64 + number), 9, np.uint8))
        client.upload_file(str(path), "twins", f"s/{key}")
    place = Place(tmp_path / "x", s3_server.endpoint_url, "twins")
    survey = discover("s3://twins/s", rules=place.rules(), skip_rejected=False)
    widths = {r.name: r.georeference.width for r in survey.rasters}
    assert widths == {"Br\u00fccke.tif": 64, "Bru\u0308cke.tif": 65}
    assert len({r.slug for r in survey.rasters}) == 2
    assert len({s.id for s in survey.structures}) == 2


def test_images_that_are_no_geotiff_and_hidden_files_are_left_out_aloud(place: Place) -> None:
    write_raster(place.folder / "a.tif")
    (place.folder / "DJI_1.JPG").write_bytes(b"x")
    (place.folder / "._a.tif").write_bytes(b"x")
    warnings = " ".join(place.discover().warnings)
    assert "DJI_1.JPG" in warnings
    assert "._a.tif" in warnings
