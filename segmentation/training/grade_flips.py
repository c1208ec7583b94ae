"""Whether the errors of a mask change what is reported: grades of the truth against grades of the prediction."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from segmentation.classes import NODATA, PixelClass
from segmentation.georeference import Georeference
from segmentation.measurement.components import Component, join_blocks, label_block
from segmentation.measurement.crack_grades import grade_cracks
from segmentation.measurement.defects import cut_and_measure, measuring_window, omitted_unread
from segmentation.measurement.grading import Standard
from segmentation.measurement.rust_grades import rust_state
from segmentation.measurement.structures import StructureIndex
from segmentation.records import Defect, Structure
from segmentation.windows import Window

Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

NO_STATE = "none"
"""State of an image in which no crack can be graded by a standard without a state for that."""
_BY_SIZE = ("crack_width", "rust_percent")
"""Methods of grading that give an image one state."""
_NAME = "image"


def grades(
    damage: Bools,
    *,
    counted: Bools,
    pixel_class: PixelClass,
    probability: Bytes,
    image: Bytes,
    gsd_m: float,
    standards: Sequence[Standard],
    min_crack_width_px: float,
    min_crack_length_px: float,
    min_rust_area_px: int,
) -> Mapping[str, str]:
    """State of an image as one structure by each standard for the class, by the standard's id; {} with nothing counted.

    `damage` and `counted` bool ``(H, W)``, `probability` uint8 ``(2, H, W)``, `image` uint8 ``(H, W, 3)``. Measured and
    graded as the product does, whatever the material; what is not counted is not inspected.
    """
    inspected_area_m2 = int(counted.sum()) * gsd_m**2
    chosen = [s for s in standards if s.pixel_class == pixel_class and s.method in _BY_SIZE]
    if inspected_area_m2 == 0 or not chosen:
        return {}
    mask = np.where(damage & counted, np.uint8(pixel_class), np.uint8(0))
    mask[~counted] = NODATA
    height, width = mask.shape
    georeference = Georeference(height, width, (gsd_m, 0.0, 0.0, 0.0, -gsd_m, 0.0), None, 1.0)
    structure = Structure(_NAME, _NAME, _NAME, "", "", None, raster_name=_NAME)
    index = StructureIndex((structure,), georeference, raster_name=_NAME)

    def measured(component: Component) -> tuple[Defect, ...]:
        speck = omitted_unread(
            component,
            scale=georeference.centre_scale(),
            min_crack_length_px=min_crack_length_px,
            min_rust_area_px=min_rust_area_px,
        )
        if speck is not None:
            return speck.defects
        window = measuring_window(component, height=height, width=width)
        inner = window.slices()
        return cut_and_measure(
            component,
            mask=mask[inner],
            probability=probability[:, inner[0], inner[1]],
            image=image[inner],
            window=window,
            index=index,
            owned=np.ones(window.shape, np.bool_),
            georeference=georeference,
            raster_name=_NAME,
            min_width_px=min_crack_width_px,
            min_crack_length_px=min_crack_length_px,
            min_rust_area_px=min_rust_area_px,
        ).defects

    found = join_blocks([label_block(mask, window=Window(0, height, 0, width))])
    defects = [defect for component in found for defect in measured(component)]
    return {s.id: _state(s, defects, inspected_area_m2=inspected_area_m2, gsd_m=gsd_m) for s in chosen}


def _state(standard: Standard, defects: Sequence[Defect], *, inspected_area_m2: float, gsd_m: float) -> str:
    if standard.pixel_class == PixelClass.RUST:
        return rust_state(standard, defects, surface_area_m2=inspected_area_m2)
    quantities = grade_cracks(standard, defects, inspected_area_m2=inspected_area_m2, gsd_mm=gsd_m * 1000).quantities
    return next((s.name for s in reversed(standard.states) if quantities.get(s.name, 0.0) > 0), NO_STATE)
