"""Components become defects, one per structure; nothing is counted twice, nothing silently lost."""

import numpy as np
import pytest
import shapely
from pyproj import CRS
from shapely.geometry import box

from segmentation.classes import PixelClass
from segmentation.georeference import Georeference
from segmentation.measurement.components import Component, join_blocks, label_block
from segmentation.measurement.cuts import MeasuredComponent, Measuring
from segmentation.measurement.defects import (
    Windows,
    cut_and_measure,
    measure_by_windows,
    measuring_window,
    omitted_unread,
)
from segmentation.measurement.structures import StructureIndex
from segmentation.records import Structure
from segmentation.windows import Window
from tests.segmentation.measurement.rendering import centre_of, render, straight

SIDE = 200
RASTER = Georeference(SIDE, SIDE, (0.001, 0, 576600.0, 0, -0.001, 5188100.0), CRS.from_epsg(32615).to_wkt())
SCALE = RASTER.centre_scale()
EVERYWHERE = np.ones((SIDE, SIDE), bool)


def structure(name: str, col_start: float, col_stop: float) -> Structure:
    footprint = shapely.transform(
        box(col_start, 0, col_stop, SIDE), lambda p: np.stack(RASTER.lonlat_from_pixel(p[:, 1], p[:, 0]), axis=1)
    )
    return Structure(name, name, name, "deck", "concrete", footprint)


def scene(kind: PixelClass) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(mask, probability, image) with one crack of 150 px or one square of rust of 60 × 100 px across the middle."""
    if kind == PixelClass.CRACK:
        line = straight(centre_of(SCALE, (SIDE, SIDE)), length_m=0.150, angle_deg=12)
        rendered = render([line], width_m=0.005, shape=(SIDE, SIDE), scale=SCALE)
        pixels, image = rendered.pixels, rendered.image
    else:
        pixels = np.zeros((SIDE, SIDE), bool)
        pixels[70:130, 50:150] = True
        image = np.full((SIDE, SIDE, 3), 128, np.uint8)
    mask = np.where(pixels, kind, 0).astype(np.uint8)
    probability = np.zeros((2, SIDE, SIDE), np.uint8)
    probability[kind - 1][pixels] = 204
    return mask, probability, image


def measured(
    kind: PixelClass,
    structures: list[Structure],
    *,
    owned: np.ndarray = EVERYWHERE,
    min_crack_length_px: float = 8.0,
    min_rust_area_px: float = 8.0,
    raster_name: str = "a.tif",
) -> MeasuredComponent:
    mask, probability, image = scene(kind)
    (component,) = join_blocks([label_block(mask, window=Window(0, SIDE, 0, SIDE))])
    window = measuring_window(component, height=SIDE, width=SIDE)
    at = window.slices()
    return cut_and_measure(
        component,
        mask=mask[at],
        probability=probability[:, at[0], at[1]],
        image=image[at],
        window=window,
        index=StructureIndex(structures, RASTER, raster_name=raster_name),
        owned=owned[at],
        georeference=RASTER,
        raster_name=raster_name,
        min_width_px=2.0,
        min_crack_length_px=min_crack_length_px,
        min_rust_area_px=min_rust_area_px,
    )


def length_m(found: MeasuredComponent) -> float:
    return sum(defect.crack.length_m for defect in found.defects if defect.crack)


def area_m2(found: MeasuredComponent) -> float:
    return sum(defect.area_m2 for defect in found.defects)


WHOLE = [structure("A", 0, 200)]


def test_a_crack_on_one_structure_is_one_defect() -> None:
    found = measured(PixelClass.CRACK, WHOLE)
    (defect,) = found.defects
    assert defect.structure_id == "A"
    assert defect.id == ""
    assert defect.crack is not None
    assert defect.crack.length_m == pytest.approx(0.150, rel=0.02)
    assert defect.crack.mean_width_mm == pytest.approx(5.0, abs=0.15)
    assert defect.confidence == pytest.approx(0.8)
    assert defect.geometry is not None
    assert defect.pixel_geometry.geom_type == "MultiLineString"
    rows, cols = RASTER.pixel_from_lonlat(*np.array(defect.geometry.geoms[0].coords).T)
    assert np.allclose(np.stack([cols, rows], 1), np.array(defect.pixel_geometry.geoms[0].coords), atol=1e-3)
    assert found.outside_px == found.omitted_cracks == 0


@pytest.mark.parametrize("kind", [PixelClass.CRACK, PixelClass.RUST])
def test_a_cut_by_structures_apportions_and_counts_nothing_twice(kind: PixelClass) -> None:
    entire = measured(kind, WHOLE)
    # Overlapping footprints: the first takes the common part.
    found = measured(kind, [structure("A", 0, 80.4), structure("B", 60, 130.2), structure("C", 130.2, 200)])
    assert [defect.structure_id for defect in found.defects] == ["A", "B", "C"]
    assert area_m2(found) == pytest.approx(area_m2(entire), rel=1e-6)
    assert length_m(found) == pytest.approx(length_m(entire), rel=1e-6)
    assert found.outside_area_m2 == 0


@pytest.mark.parametrize("kind", [PixelClass.CRACK, PixelClass.RUST])
def test_what_lies_outside_every_structure_is_told(kind: PixelClass) -> None:
    entire = measured(kind, WHOLE)
    found = measured(kind, [structure("A", 0, 100)])
    assert found.outside_px > 0
    assert area_m2(found) + found.outside_area_m2 == pytest.approx(area_m2(entire), rel=1e-6)
    assert length_m(found) + found.outside_length_m == pytest.approx(length_m(entire), rel=1e-6)
    nowhere = measured(kind, [])
    assert nowhere.defects == ()
    assert nowhere.outside_area_m2 == pytest.approx(area_m2(entire), rel=1e-6)


@pytest.mark.parametrize("kind", [PixelClass.CRACK, PixelClass.RUST])
def test_two_rasters_that_share_a_place_count_it_once(kind: PixelClass) -> None:
    entire = measured(kind, WHOLE)
    left = EVERYWHERE.copy()
    left[:, 90:] = False
    one, other = measured(kind, WHOLE, owned=left), measured(kind, WHOLE, owned=~left)
    assert area_m2(one) + area_m2(other) == pytest.approx(area_m2(entire), rel=1e-6)
    assert length_m(one) + length_m(other) == pytest.approx(length_m(entire), rel=1e-6)
    assert measured(kind, WHOLE, owned=~EVERYWHERE) == MeasuredComponent()


def test_specks_are_left_out_and_counted() -> None:
    crack = measured(PixelClass.CRACK, WHOLE, min_crack_length_px=500)
    assert crack.defects == ()
    assert (crack.omitted_cracks, crack.omitted_rust) == (1, 0)
    assert crack.omitted_length_m == pytest.approx(0.150, rel=0.02)
    rust = measured(PixelClass.RUST, WHOLE, min_rust_area_px=6001)
    assert (rust.omitted_cracks, rust.omitted_rust) == (0, 1)
    assert rust.omitted_area_m2 == pytest.approx(6000e-6, rel=1e-3)


def test_a_cut_makes_no_piece_too_short_to_be_listed() -> None:
    found = measured(PixelClass.CRACK, [structure("A", 0, 30), structure("B", 30, 200)], min_crack_length_px=100)
    assert [defect.structure_id for defect in found.defects] == ["A", "B"]


def test_specks_are_known_without_reading_their_pixels() -> None:
    def verdict(kind: PixelClass, area_px: int) -> MeasuredComponent | None:
        return omitted_unread(
            Component(kind, area_px, Window(0, 9, 0, 9), (0, 0)),
            scale=SCALE,
            min_crack_length_px=12,
            min_rust_area_px=12,
        )

    assert verdict(PixelClass.CRACK, 7) is not None
    assert verdict(PixelClass.CRACK, 8) is None
    assert verdict(PixelClass.RUST, 11) is not None
    assert verdict(PixelClass.RUST, 12) is None


def test_a_defect_in_a_local_frame_has_no_place_on_the_earth() -> None:
    local = Georeference(SIDE, SIDE, (0.001, 0, 0, 0, -0.001, 0), None, 1.0)
    mask, probability, image = scene(PixelClass.RUST)
    (component,) = join_blocks([label_block(mask, window=Window(0, SIDE, 0, SIDE))])
    facade = Structure("F", "F", "f", "façade", "concrete", None, raster_name="f.tif")
    found = cut_and_measure(
        component,
        mask=mask,
        probability=probability,
        image=image,
        window=Window(0, SIDE, 0, SIDE),
        index=StructureIndex([facade], local, raster_name="f.tif"),
        owned=EVERYWHERE,
        georeference=local,
        raster_name="f.tif",
        min_width_px=2.0,
        min_crack_length_px=8,
        min_rust_area_px=8,
    )
    (defect,) = found.defects
    assert defect.geometry is None
    assert defect.window == Window(70, 130, 50, 150)
    assert defect.area_m2 == pytest.approx(6000e-6)


@pytest.mark.parametrize("kind", [PixelClass.CRACK, PixelClass.RUST])
@pytest.mark.parametrize("block_px", [70, 100, 128])
def test_a_component_too_large_to_be_read_at_once_is_measured_window_by_window(kind: PixelClass, block_px: int) -> None:
    mask, probability, image = scene(kind)
    starts = range(0, SIDE, block_px)
    blocks = [Window(r, r + block_px, c, c + block_px).clip(SIDE, SIDE) for r in starts for c in starts]
    (component,) = join_blocks([label_block(mask[w.slices()], window=w) for w in blocks])
    structures = [structure("A", 0, 110), structure("B", 110, 200)]
    found = measure_by_windows(
        component,
        windows=Windows(
            mask=lambda window: mask[window.slices()],
            probability=lambda window: probability[:, *window.slices()],
            image=lambda window: image[window.slices()],
            owned=lambda window: EVERYWHERE[window.slices()],
        ),
        how=Measuring(
            index=StructureIndex(structures, RASTER, raster_name="a.tif"),
            georeference=RASTER,
            raster_name="a.tif",
            min_width_px=2.0,
            min_crack_length_px=8,
            min_rust_area_px=8,
        ),
        most_px=60 * 60,
    )
    entire = measured(kind, structures)
    assert [d.structure_id for d in found.defects] == ["A", "B"]
    assert area_m2(found) == pytest.approx(area_m2(entire), rel=1e-12)
    assert length_m(found) == pytest.approx(length_m(entire), abs=0.0002)
    for one, whole in zip(found.defects, entire.defects, strict=True):
        assert one.window == whole.window
        assert one.confidence == whole.confidence
        assert one.pixel_geometry.is_valid
        assert one.pixel_geometry.area == pytest.approx(whole.pixel_geometry.area)
        if one.crack and whole.crack:
            assert one.crack.max_width_mm == pytest.approx(whole.crack.max_width_mm, abs=0.02)
            assert len(one.crack.branches) == len(whole.crack.branches) == 1


def test_arrays_of_another_window_are_refused() -> None:
    with pytest.raises(ValueError, match="owned must cover"):
        measured(PixelClass.RUST, WHOLE, owned=np.ones((SIDE, 150), bool))
