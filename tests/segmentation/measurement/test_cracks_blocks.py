"""What is measured does not depend on how the raster was cut into blocks, nor on what is measured together."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.classes import PixelClass
from segmentation.georeference import Georeference
from segmentation.measurement.appearance import pooled
from segmentation.measurement.components import join_blocks, label_block
from segmentation.measurement.defects import cut_and_measure, look_at, measuring_window, telling_cracks
from segmentation.measurement.joining import joined_components
from segmentation.measurement.structures import StructureIndex
from segmentation.records import Defect, Structure
from segmentation.windows import Window
from tests.segmentation.measurement.rendering import Rendered, render, straight

SIDE_PX = 150
GEOREFERENCE = Georeference(SIDE_PX, SIDE_PX, (0.001, 0.0, 0.0, 0.0, -0.001, 0.0), None, 1.0)
STRUCTURE = Structure("all", "all", "all", "", "", None, raster_name="r.tif")


def defects(rendered: Rendered, *, block_px: int, backwards: bool) -> list[Defect]:
    """All cracks, found in blocks, looked at, measured and joined as the measure stage does it."""
    mask = rendered.pixels.astype(np.uint8) * np.uint8(PixelClass.CRACK)
    chance = np.stack([rendered.probability, np.zeros_like(rendered.probability)])
    probability = (255 * chance).astype(np.uint8)
    starts = range(0, SIDE_PX, block_px)
    windows = [Window(r, min(r + block_px, SIDE_PX), c, min(c + block_px, SIDE_PX)) for r in starts for c in starts]
    components = list(join_blocks([label_block(mask[w.slices()], window=w) for w in windows]))
    if backwards:
        components.reverse()
    index = StructureIndex((STRUCTURE,), GEOREFERENCE, raster_name="r.tif")

    def read(window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows, cols = window.slices()
        return mask[rows, cols], probability[:, rows, cols], rendered.image[rows, cols]

    told = []
    for component in telling_cracks(components):
        window = measuring_window(component, height=SIDE_PX, width=SIDE_PX)
        own, chances, image = read(window)
        told.append(
            look_at(component, mask=own, probability=chances, image=image, window=window, georeference=GEOREFERENCE)
        )
    measured = []
    for component in components:
        window = measuring_window(component, height=SIDE_PX, width=SIDE_PX)
        own, chances, image = read(window)
        measured.append(
            cut_and_measure(
                component,
                mask=own,
                probability=chances,
                image=image,
                window=window,
                index=index,
                owned=np.ones(window.shape, np.bool_),
                georeference=GEOREFERENCE,
                raster_name="r.tif",
                min_width_px=2.0,
                min_crack_length_px=24.0,
                min_rust_area_px=64,
                appearance=pooled(told),
            )
        )
    joined = joined_components(measured, georeference=GEOREFERENCE, gap_px=24.0, min_crack_length_px=24.0)
    return sorted((d for one in joined for d in one.defects), key=lambda d: (d.window, d.area_m2))


LINE = st.tuples(st.integers(25, 125), st.integers(25, 125), st.integers(20, 60), st.integers(0, 179))


@given(st.lists(LINE, min_size=1, max_size=4), st.sampled_from([37, 64, 101]))
@settings(max_examples=12, deadline=None)
def test_cracks_are_the_same_for_any_block_size_and_any_order(
    lines: list[tuple[int, int, int, int]], block_px: int
) -> None:
    drawn = [straight((c / 1e3, -r / 1e3), length_m=n / 1e3, angle_deg=a) for r, c, n, a in lines]
    rendered = render(drawn, width_m=0.003, shape=(SIDE_PX, SIDE_PX), samples=3)
    whole = defects(rendered, block_px=SIDE_PX, backwards=False)
    assert defects(rendered, block_px=block_px, backwards=True) == whole
