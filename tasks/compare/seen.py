"""What one survey's mask shows at the places of the other survey's defects: inspected or not, marked or clean."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from segmentation.classes import PixelClass
from segmentation.comparison.matching import sampled
from segmentation.comparison.records import Seen, SurveyDefect
from segmentation.comparison.similarity import Points
from segmentation.windows import Window
from tasks.compare.plane import Plane
from tasks.compare.published import PublishedRun, RunRaster

_PIECE_PX = 1024
"""Side of what is read of a mask at once."""
_STEP_PX = 4.0
_LAST_CLASS = int(max(PixelClass))


def seen_in(
    run: PublishedRun,
    rasters: Sequence[RunRaster],
    plane: Plane,
    defects: Sequence[SurveyDefect],
    places: Sequence[Points],
    weights: Sequence[npt.NDArray[np.float64]],
    *,
    reach_px: int,
) -> tuple[Seen, ...]:
    """For each defect what the masks of `rasters` show at its `places`, metres ``(N, 2)`` as *this* run states them.

    A place is inspected where one of the rasters holds a class there, and marked where the defect's class lies within
    `reach_px` of it.
    """
    if not defects:
        return ()
    owners = np.repeat(np.arange(len(defects)), [len(points) for points in places])
    points = np.concatenate(list(places))
    classes = np.repeat([int(defect.pixel_class) for defect in defects], [len(one) for one in places])
    inspected = np.zeros(len(points), bool)
    marked = np.zeros(len(points), bool)
    for raster in rasters:
        at = np.floor(plane.to_pixels(raster.georeference, points)).astype(np.int64)
        _look(run, raster, at, classes, inspected, marked, reach_px=reach_px)
    weight = np.concatenate(list(weights))
    total = np.maximum(np.bincount(owners, weight, len(defects)), 1e-12)
    inspected_share = np.bincount(owners, weight * inspected, len(defects)) / total
    marked_share = np.bincount(owners, weight * marked, len(defects)) / total
    return tuple(Seen(float(one), float(other)) for one, other in zip(inspected_share, marked_share, strict=True))


def places_along(defects: Sequence[SurveyDefect]) -> tuple[list[Points], list[npt.NDArray[np.float64]]]:
    """Places along each defect, some pixels apart, and what each stands for."""
    samples = [sampled(defect.geometry, step_m=_STEP_PX * defect.gsd_m) for defect in defects]
    return [one.points for one in samples], [one.weights for one in samples]


def _look(
    run: PublishedRun,
    raster: RunRaster,
    at: npt.NDArray[np.int64],
    classes: npt.NDArray[np.int64],
    inspected: npt.NDArray[np.bool_],
    marked: npt.NDArray[np.bool_],
    *,
    reach_px: int,
) -> None:
    """Read each piece of the mask that holds places once, as far as they reach, and note what it shows."""
    place = raster.georeference
    cols, rows = at[:, 0], at[:, 1]
    inside = np.flatnonzero((rows >= 0) & (rows < place.height) & (cols >= 0) & (cols < place.width))
    pieces = (rows[inside] // _PIECE_PX) * (place.width // _PIECE_PX + 1) + cols[inside] // _PIECE_PX
    order = np.argsort(pieces, kind="stable")
    for numbers in np.split(inside[order], np.flatnonzero(np.diff(pieces[order])) + 1):
        if not len(numbers):
            continue
        own_rows, own_cols = rows[numbers], cols[numbers]
        places = Window(int(own_rows.min()), int(own_rows.max()) + 1, int(own_cols.min()), int(own_cols.max()) + 1)
        window = places.grow(reach_px).clip(place.height, place.width)
        mask = run.masks.read_mask(raster.slug, window)
        own_rows, own_cols = own_rows - window.row_start, own_cols - window.col_start
        inspected[numbers] |= mask[own_rows, own_cols] <= _LAST_CLASS
        marked[numbers] |= _near(mask, own_rows, own_cols, classes[numbers], reach_px)


def _near(
    mask: npt.NDArray[np.uint8],
    rows: npt.NDArray[np.int64],
    cols: npt.NDArray[np.int64],
    classes: npt.NDArray[np.int64],
    reach_px: int,
) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(rows), bool)
    height, width = mask.shape
    for down in range(-reach_px, reach_px + 1):
        for right in range(-reach_px, reach_px + 1):
            near = mask[np.clip(rows + down, 0, height - 1), np.clip(cols + right, 0, width - 1)]
            found |= near == classes
    return found
