"""Hand-made records and pictures: damage of known size on a raster of 1.5 mm GSD."""

from dataclasses import dataclass, field, replace

import numpy as np
import shapely
from pyproj import CRS
from shapely.geometry import MultiLineString, Polygon, box
from shapely.geometry.base import BaseGeometry

from segmentation.classes import PixelClass
from segmentation.georeference import Floats, Georeference
from segmentation.records import (
    CrackMeasure,
    CrackSummary,
    Defect,
    Grade,
    ModelIdentity,
    RunIdentity,
    RustSummary,
    Structure,
    StructureResult,
)
from segmentation.windows import Window
from tasks.report.pictures import Pixels

GSD_M = 0.0015
RASTER = "deck_east.tif"
GEOREFERENCE = Georeference(
    height=2000,
    width=3000,
    transform=(GSD_M, 0.0, 465_000.0, 0.0, -GSD_M, 5_250_000.0),
    crs_wkt=CRS.from_epsg(32632).to_wkt(),
)
GEOREFERENCES = {RASTER: GEOREFERENCE}
HOSTILE_NAME = "\"><script>alert('x')</script>\u202egnp.exe\u0000 =cmd|' /C calc'!A0 {{ 7*7 }} 橋 جسر Brücke"

RUN = RunIdentity(
    run_key="9f2c41d07ab3e855",
    survey_id="demo-bridge",
    model=ModelIdentity("spanscan-unet", "ab" * 32),
    settings={"min_crack_width_px": 2.0, "tile_core_px": 1024, "broken": float("nan")},
    spanscan_version="0.1.0",
    captured_at="2025-05-04",
    operator="Ingenieurbüro Müller & Søn",
    warnings=("1 raster was left out: shadow.tif: E_NO_CRS",),
)


@dataclass
class ArrayPictures:
    """Pictures of arrays in memory, read as a raster is read; remembers what was read."""

    rgb: Pixels
    mask: Pixels
    reads: list[tuple[str, Window, int]] = field(default_factory=list)

    def read_rgb(self, raster_name: str, window: Window, *, max_side_px: int) -> Pixels:
        return self._read(self.rgb, raster_name, window, max_side_px)

    def read_mask(self, raster_name: str, window: Window, *, max_side_px: int) -> Pixels:
        return self._read(self.mask, raster_name, window, max_side_px)

    def _read(self, array: Pixels, raster_name: str, window: Window, max_side_px: int) -> Pixels:
        height, width = array.shape[:2]
        if window != window.clip(height, width) or window.area_px == 0:
            raise ValueError(f"a window must lie inside the raster of {height} × {width} px, got {window}")
        self.reads.append((raster_name, window, max_side_px))
        step = -(-max(window.shape) // max_side_px)
        return array[window.slices()][::step, ::step].copy()


def noise_pictures() -> ArrayPictures:
    """Concrete at its worst for a compressor: noise, with the cracks and the rust of `bridge_deck` in the mask."""
    noise = np.random.default_rng(7).integers(90, 190, (2000, 3000, 3), dtype=np.uint8)
    mask = np.zeros((2000, 3000), np.uint8)
    mask[400:406, 300:900] = PixelClass.CRACK
    mask[1200:1300, 2000:2100] = PixelClass.RUST
    noise[mask == PixelClass.CRACK] = 20
    return ArrayPictures(noise, mask)


def lonlat(pixel_geometry: BaseGeometry) -> BaseGeometry:
    """(col, row) geometry of the raster in WGS 84."""

    def to_lonlat(col_row: Floats) -> Floats:
        return np.column_stack(GEOREFERENCE.lonlat_from_pixel(col_row[:, 1], col_row[:, 0]))

    return shapely.transform(pixel_geometry, to_lonlat)


def crack(
    defect_id: str,
    *,
    row: int,
    col: int,
    length_px: int,
    max_width_mm: float,
    mean_width_mm: float | None = None,
    below_resolution: bool = False,
    state: str | None = "CS2",
) -> Defect:
    """A wavy crack from (row, col) to the right."""
    cols = np.linspace(col, col + length_px, 41)
    rows = row + 12 * np.sin((cols - col) / 40)
    line = MultiLineString([list(zip(cols.tolist(), rows.tolist(), strict=True))])
    mean = mean_width_mm if mean_width_mm is not None else 0.7 * max_width_mm
    along = np.linspace(0, length_px * GSD_M, 120)
    profile = mean + (max_width_mm - mean) * np.sin(along * 9) ** 2
    return Defect(
        id=defect_id,
        pixel_class=PixelClass.CRACK,
        structure_id="deck",
        raster_name=RASTER,
        window=Window(row - 13, row + 14, col, col + length_px),
        pixel_geometry=line,
        geometry=lonlat(line),
        area_m2=length_px * GSD_M * mean / 1000,
        confidence=0.914,
        crack=CrackMeasure(
            length_m=length_px * GSD_M,
            max_width_mm=max_width_mm,
            p95_width_mm=0.95 * max_width_mm,
            mean_width_mm=mean,
            width_uncertainty_mm=0.82,
            width_method="profile",
            widest_at=(float(rows[20]), float(cols[20])),
            resolvable_width_mm=3.0,
            profile=tuple(zip(along.tolist(), profile.tolist(), strict=True)),
            median_width_mm=mean,
        ),
        below_resolution=below_resolution,
        condition_state=state,
    )


def rust(defect_id: str, *, row: int, col: int, side_px: int, state: str | None = "CS3") -> Defect:
    """A rust patch with a clockwise outline, as a raster's axes give it."""
    outline = Polygon([(col, row), (col, row + side_px), (col + side_px, row + side_px), (col + side_px, row)])
    return Defect(
        id=defect_id,
        pixel_class=PixelClass.RUST,
        structure_id="deck",
        raster_name=RASTER,
        window=Window(row, row + side_px, col, col + side_px),
        pixel_geometry=outline,
        geometry=lonlat(outline),
        area_m2=(side_px * GSD_M) ** 2,
        confidence=0.83,
        crack=None,
        below_resolution=False,
        condition_state=state,
    )


def bridge_deck(*, name: str = "East deck, span 3") -> StructureResult:
    """A deck with a wide crack, a rust patch and a crack too thin to measure, inspected to 97.2 %."""
    defects = (
        crack("C-0001", row=403, col=300, length_px=600, max_width_mm=9.03, mean_width_mm=6.2, state="CS3"),
        rust("R-0001", row=1200, col=2000, side_px=100),
        crack("C-0002", row=1500, col=500, length_px=1400, max_width_mm=4.1, mean_width_mm=2.5),
        crack("C-0003", row=900, col=1500, length_px=200, max_width_mm=1.7, below_resolution=True, state=None),
    )
    structure = Structure("deck", name, "east-deck", "deck", "concrete", lonlat(box(150, 120, 2860, 1890)))
    return StructureResult(
        structure=structure,
        footprint_area_m2=10.79,
        inspected_area_m2=10.4879,
        coverage_percent=97.2,
        gsd_mm=1.5,
        cracks=CrackSummary(3, 3.3, 3.3 / 10.4879, 9.03, 8.4, 4.4, 1),
        rust=RustSummary(
            1, 0.0225, 0.2145, "inspected area of the footprint, as seen in the raster", 7, "spot", "Ri 2"
        ),
        defects=defects,
        grades=(
            Grade(
                "AASHTO MBEI",
                "2nd ed., 2019",
                "12 Reinforced Concrete Deck",
                {"CS1": 7.2, "CS2": 3.1, "CS3": 0.19, "not graded": 0.09},
                "m2",
                "CS3; seen at 1.5 mm per pixel",
                "crack width below 0.3 mm CS1, up to 1.3 mm CS2, above CS3",
                "AASHTO Manual for Bridge Element Inspection, appendix D",
            ),
            Grade(
                "ASTM D610",
                "2008 (2019)",
                "steel",
                {},
                "",
                "7-S; seen at 1.5 mm per pixel",
                "0.1 % < rusted surface <= 0.3 %",
                "ASTM D610, table 1",
            ),
        ),
    )


def clean_deck() -> StructureResult:
    """The same deck with nothing found on all of it."""
    deck = bridge_deck(name="West deck")
    return replace(
        deck,
        structure=replace(deck.structure, slug="west-deck", footprint=lonlat(box(150, 120, 1400, 900))),
        coverage_percent=100.0,
        inspected_area_m2=10.79,
        cracks=CrackSummary(0, 0.0, 0.0, None, None, None, 0),
        rust=RustSummary(0, 0.0, 0.0, "inspected area of the footprint, as seen in the raster", None, None, None),
        defects=(),
        grades=(),
    )


def unseen_pier() -> StructureResult:
    """A pier that no raster shows."""
    return StructureResult(
        structure=Structure("pier", "Pier 2 (橋脚)", "pier-2", "pier", "concrete", lonlat(box(3100, 100, 3600, 600))),
        footprint_area_m2=0.56,
        inspected_area_m2=0.0,
        coverage_percent=0.0,
        gsd_mm=None,
        cracks=CrackSummary(0, 0.0, 0.0, None, None, None, 0),
        rust=RustSummary(0, 0.0, 0.0, "nothing was inspected", None, None, None),
        defects=(),
        grades=(),
        not_inspected_reason="no raster covers it",
    )
