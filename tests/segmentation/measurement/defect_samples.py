"""Hand-made cracks and rust patches of known size, for what is graded and summed."""

from shapely.geometry import LineString, MultiLineString, MultiPolygon, box

from segmentation.classes import PixelClass
from segmentation.measurement.grading import Standard, load_standards
from segmentation.records import CrackMeasure, Defect
from segmentation.windows import Window


def standard(name: str) -> Standard:
    """A shipped table."""
    return load_standards([name])[0]


def crack(
    width_mm: float,
    length_m: float = 1.0,
    *,
    spread_mm: float = 0.0,
    below: bool = False,
    row: int = 0,
    raster: str = "a.tif",
    p95_share: float = 1.0,
    mean_share: float = 1.0,
    structure_id: str = "S",
) -> Defect:
    """A straight crack of one width, ± `spread_mm`."""
    measure = CrackMeasure(
        length_m, width_mm, width_mm * p95_share, width_mm * mean_share, spread_mm, "profile", (0.0, 0.0), 0.2
    )
    line = MultiLineString([LineString([(0, row), (10, row)])])
    window = Window(row, row + 1, 0, 10)
    return Defect("", PixelClass.CRACK, structure_id, raster, window, line, None, 0.1, 0.9, measure, below)


def patch(area_m2: float, side_px: float = 1000.0, *, row: int = 0, structure_id: str = "S") -> Defect:
    """A square patch of rust."""
    outline = MultiPolygon([box(0, row, side_px, row + side_px)])
    window = Window(row, row + 9, 0, 9)
    return Defect("", PixelClass.RUST, structure_id, "a.tif", window, outline, None, area_m2, 0.9, None, False)
