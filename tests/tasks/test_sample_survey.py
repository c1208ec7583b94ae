"""The sample survey on disk says what was painted, at its place and scale on the earth."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from pyproj import Geod
from shapely.geometry import shape

from segmentation.georeference import Georeference
from tasks.sample_survey import SampleTruth, write_sample_survey

GEOD = Geod(ellps="WGS84")


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SampleTruth]:
    folder = tmp_path_factory.mktemp("inbox") / "sample"
    return folder, write_sample_survey(folder, seed=4, scale=0.2)


def georeference(path: Path) -> Georeference:
    with rasterio.open(path) as source:
        a, b, c, d, e, f = tuple(source.transform)[:6]
        return Georeference(source.height, source.width, (a, b, c, d, e, f), source.crs.to_wkt())


def test_the_folder_is_laid_out_as_a_survey(survey: tuple[Path, SampleTruth]) -> None:
    folder, _ = survey
    names = {path.name for path in folder.iterdir()}
    assert names == {"deck.tif", "truss.tif", "structures.geojson", "survey.json", "truth.json"}
    assert json.loads((folder / "survey.json").read_text())["rasters"] == ["deck.tif", "truss.tif"]


def test_the_deck_is_rgb_and_the_truss_carries_alpha(survey: tuple[Path, SampleTruth]) -> None:
    folder, _ = survey
    with rasterio.open(folder / "deck.tif") as deck, rasterio.open(folder / "truss.tif") as truss:
        assert [band.name for band in deck.colorinterp] == ["red", "green", "blue"]
        assert [band.name for band in truss.colorinterp] == ["red", "green", "blue", "alpha"]
        assert deck.crs.to_epsg() == truss.crs.to_epsg() == 32632
        assert deck.block_shapes[0] == (512, 512)
        validity = truss.dataset_mask() > 0
        assert 0.3 < validity.mean() < 0.6
        assert set(np.unique(truss.read(4))) == {0, 255}
        assert truss.read(2)[validity].min() > 0


@pytest.mark.parametrize("number", [0, 1], ids=["deck", "truss"])
def test_a_crack_is_as_long_on_the_earth_as_stated(survey: tuple[Path, SampleTruth], number: int) -> None:
    folder, truth = survey
    raster = truth.rasters[number]
    place = georeference(folder / raster.raster_name)
    assert place.centre_scale().gsd_m == pytest.approx(raster.scene.gsd_m, rel=1e-6)
    for crack in raster.scene.cracks:
        total_m = 0.0
        for path in crack.paths:
            points = np.array(path)
            lons, lats = place.lonlat_from_pixel(points[:, 0], points[:, 1])
            total_m += GEOD.line_length(lons, lats)
        assert total_m == pytest.approx(crack.length_m, rel=1e-4)


def test_the_stated_crack_lies_on_dark_pixels_of_the_file(survey: tuple[Path, SampleTruth]) -> None:
    folder, truth = survey
    with rasterio.open(folder / "deck.tif") as source:
        grey = source.read().mean(axis=0)
    for crack in truth.rasters[0].scene.cracks:
        rows, cols = np.floor(np.array(crack.paths[0])[3:-3].T).astype(int)
        assert np.median(grey[rows, cols]) < 0.7 * np.median(grey)


@pytest.mark.parametrize("number", [0, 1], ids=["deck", "truss"])
def test_footprints_have_their_area_on_the_earth_and_wind_as_rfc_7946_wants(
    survey: tuple[Path, SampleTruth], number: int
) -> None:
    folder, truth = survey
    feature = json.loads((folder / "structures.geojson").read_text())["features"][number]
    footprint = shape(feature["geometry"])
    area_m2, _ = GEOD.geometry_area_perimeter(footprint)
    assert footprint.is_valid
    assert area_m2 == pytest.approx(truth.rasters[number].scene.footprint_area_m2, rel=1e-4)
    assert feature["properties"]["id"] == truth.rasters[number].structure_id
    assert {"name", "kind", "material"} <= set(feature["properties"])


def test_truth_on_disk_is_the_truth_returned(survey: tuple[Path, SampleTruth]) -> None:
    folder, truth = survey
    written = json.loads((folder / "truth.json").read_text())
    assert written["total_crack_length_m"] == truth.total_crack_length_m
    assert written["rust_area_m2"] == truth.rust_area_m2
    assert [r["raster"] for r in written["rasters"]] == ["deck.tif", "truss.tif"]
    assert [len(r["cracks"]) for r in written["rasters"]] == [len(r.scene.cracks) for r in truth.rasters]


def test_writing_again_gives_the_same_files(survey: tuple[Path, SampleTruth], tmp_path: Path) -> None:
    folder, truth = survey
    assert write_sample_survey(tmp_path, seed=4, scale=0.2) == truth
    for name in ("deck.tif", "truss.tif", "structures.geojson"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
