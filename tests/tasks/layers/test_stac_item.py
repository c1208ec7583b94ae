"""The STAC item: valid by every extension that it names, and true of the run."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pystac
import pytest
from pyproj import CRS, Transformer
from pystac.errors import STACValidationError
from shapely.geometry import shape

from segmentation.georeference import Georeference
from segmentation.records import GivenMask
from tasks.layers.stac_classes import MLM
from tests.tasks.layers.layer_samples import ALL_FORMATS, LOCAL, RASTERS, raster_of, without_place, written
from tests.tasks.layers.stac_validation import validate
from tests.tasks.report.samples import GEOREFERENCE, HOSTILE_NAME, RUN, bridge_deck

FILES = {
    "mask.tif": b"mask",
    "structures/east-deck/report.html": b"<p>deck</p>",
    "structures/east-deck/report.pdf": b"%PDF",
    "structures/east-deck/report.json": b"{}",
}
GIVEN = replace(RUN, model=None, given_mask=GivenMask("m.tif", "0" * 64, None))
FIJI = Georeference(100, 200, (0.0001, 0.0, 179.99, 0.0, -0.0001, -16.8), CRS.from_epsg(4326).to_wkt())
NO_CODE = CRS.from_proj4("+proj=tmerc +lat_0=46 +lon_0=8.1 +k=1 +x_0=100 +y_0=200 +ellps=GRS80 +units=m").to_wkt()


def item_of(folder: Path, **changes: Any) -> dict[str, Any]:
    written(folder, **({"files": FILES, "formats": ["stac", "csv"]} | changes))
    item: dict[str, Any] = json.loads((folder / "stac/item.json").read_text(encoding="utf-8"))
    return item


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"run": replace(RUN, captured_at=None)},
        {"run": replace(RUN, captured_at="2025-05-04T10:30:00+02:00")},
        {"run": replace(RUN, survey_id=HOSTILE_NAME + "\ud800", operator="=cmd()" * 10**5)},
        {"run": GIVEN, "card": None},
        {"rasters": (raster_of("facade.tif", LOCAL),), "results": (without_place(bridge_deck()),)},
        {"rasters": (*RASTERS, raster_of("facade.tif", LOCAL, slug="facade"))},
        {"rasters": (raster_of("fiji.tif", FIJI),)},
        {"rasters": (raster_of("own.tif", replace(GEOREFERENCE, crs_wkt=NO_CODE)),)},
        {"formats": ["stac"], "files": {}},
    ],
    ids=[
        "usual",
        "no-date",
        "a-time",
        "hostile-names",
        "given-mask",
        "local-frame",
        "earth-and-local-frame",
        "antimeridian",
        "crs-without-a-code",
        "nothing-else-written",
    ],
)
def test_item_validates(changes: dict[str, Any], tmp_path: Path) -> None:
    item = item_of(tmp_path, **changes)
    held_against = validate(tmp_path / "stac/item.json")
    assert set(held_against[1:]) == set(item["stac_extensions"])
    assert (MLM in held_against) == (changes.get("card", 1) is not None)


def test_validation_would_find_a_fault(tmp_path: Path) -> None:
    item = item_of(tmp_path)
    for spoil in ({"mlm:tasks": ["dowsing"]}, {"proj:shape": ["a"]}, {"datetime": "yesterday"}):
        (tmp_path / "spoilt.json").write_text(json.dumps({**item, "properties": {**item["properties"], **spoil}}))
        with pytest.raises(STACValidationError):
            validate(tmp_path / "spoilt.json")


def test_pystac_opens_it_where_the_collection_is_not_there(tmp_path: Path) -> None:
    item_of(tmp_path)
    item = pystac.Item.from_file(str(tmp_path / "stac/item.json"))
    assert item.bbox == pytest.approx((8.536133, 47.402488, 8.536193, 47.402515), abs=1e-6)
    assert shape(item.geometry).is_valid
    assert item.common_metadata.gsd == 0.0015


def test_every_asset_is_where_its_link_leads_with_its_checksum_and_size(tmp_path: Path) -> None:
    item = item_of(tmp_path, formats=ALL_FORMATS)
    validate(tmp_path / "stac/item.json")
    later = {"index", "manifest", "masks-zarr", "model"}
    assert later | {"mask", "defects-gpkg", "report-east-deck-pdf"} <= item["assets"].keys()
    for name, asset in item["assets"].items():
        assert not asset["href"].startswith(("/", "http")), "the folder may be moved"
        if name in later:
            continue
        data = (tmp_path / "stac" / asset["href"]).resolve().read_bytes()
        assert asset["file:checksum"] == "1220" + hashlib.sha256(data).hexdigest()
        assert asset["file:size"] == len(data)


def test_projection_takes_pixels_to_the_footprint(tmp_path: Path) -> None:
    item = item_of(tmp_path)
    asset = item["assets"]["mask"]
    a, b, c, d, e, f = asset["proj:transform"]
    height, width = asset["proj:shape"]
    x, y = a * width + b * height + c, d * width + e * height + f
    lon, lat = Transformer.from_crs(asset["proj:code"], "OGC:CRS84", always_xy=True).transform(x, y)
    corner = shape(item["geometry"]).exterior
    assert min(abs(lon - px) + abs(lat - py) for px, py in corner.coords) < 2e-9
    assert item["properties"]["proj:code"] == "EPSG:32632"


def test_crs_without_a_code_is_told_in_full(tmp_path: Path) -> None:
    item = item_of(tmp_path, rasters=(raster_of("own.tif", replace(GEOREFERENCE, crs_wkt=NO_CODE)),))
    assert item["properties"]["proj:code"] is None
    assert CRS.from_wkt(item["properties"]["proj:wkt2"]).equals(CRS.from_wkt(NO_CODE))


def test_several_rasters_have_a_mask_each(tmp_path: Path) -> None:
    rasters = (*RASTERS, raster_of("facade.tif", LOCAL, slug="facade"))
    item = item_of(tmp_path, rasters=rasters, files={"mask.deck-east.tif": b"a", "mask.facade.tif": b"b"})
    assert item["assets"]["mask-facade"]["proj:code"] is None
    assert item["assets"]["mask-deck-east"]["proj:code"] == "EPSG:32632"
    assert "proj:code" not in item["properties"]


def test_classes_say_what_is_no_finding(tmp_path: Path) -> None:
    classes = item_of(tmp_path)["assets"]["mask"]["classification:classes"]
    assert {c["value"]: c.get("nodata", False) for c in classes} == {0: False, 1: False, 2: False, 254: True, 255: True}


def test_model_is_described_by_its_card(tmp_path: Path) -> None:
    item = item_of(tmp_path, run=replace(RUN, settings={**RUN.settings, "halo_px": 112}))
    properties = item["properties"]
    assert properties["mlm:name"] == "spanscan-unet"
    assert properties["mlm:input"][0]["input"]["shape"] == [-1, 3, 1024 + 2 * 112, 1024 + 2 * 112]
    assert [c["name"] for c in properties["mlm:output"][0]["classification:classes"]] == ["background", "crack", "rust"]
    card = json.loads((tmp_path / "stac/model.json").read_text())
    assert item["assets"]["model"]["spanscan:weights_checksum"] == "1220" + card["sha256"]


def test_given_mask_has_no_model(tmp_path: Path) -> None:
    item = item_of(tmp_path, run=GIVEN, card=None)
    assert not [name for name in item["properties"] if name.startswith("mlm:")]
    assert "no model was used" in item["properties"]["processing:lineage"]
    assert not (tmp_path / "stac/model.json").exists()


def test_local_frame_has_no_geometry_and_no_bounds(tmp_path: Path) -> None:
    item = item_of(tmp_path, rasters=(raster_of("facade.tif", LOCAL),), results=(without_place(bridge_deck()),))
    assert item["geometry"] is None
    assert "bbox" not in item


def test_footprint_across_the_antimeridian_is_in_two_parts(tmp_path: Path) -> None:
    item = item_of(tmp_path, rasters=(raster_of("fiji.tif", FIJI),))
    west, _, east, _ = item["bbox"]
    assert (west, east) == (pytest.approx(179.99), pytest.approx(-179.99))
    assert len(item["geometry"]["coordinates"]) == 2


@pytest.mark.parametrize(
    ("captured_at", "stated"),
    [
        ("2025-05-04", (None, "2025-05-04T00:00:00Z", "2025-05-04T23:59:59Z")),
        ("2025-05-04T10:30:00+02:00", ("2025-05-04T08:30:00Z", None, None)),
        (None, (None, "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z")),
    ],
    ids=["a-day", "a-time", "not-stated"],
)
def test_time_is_no_more_exact_than_what_was_stated(
    captured_at: str | None, stated: tuple[str | None, ...], tmp_path: Path
) -> None:
    properties = item_of(tmp_path, run=replace(RUN, captured_at=captured_at))["properties"]
    assert tuple(properties.get(name) for name in ("datetime", "start_datetime", "end_datetime")) == stated
    assert ("not stated" in properties["description"]) == (captured_at is None)
