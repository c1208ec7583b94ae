"""What is measured does not depend on how the raster was cut into blocks, nor on what is measured together."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.classes import PixelClass
from segmentation.georeference import Georeference
from segmentation.measurement.appearance import pooled
from segmentation.measurement.components import join_blocks, label_block
from segmentation.measurement.cuts import Measuring
from segmentation.measurement.defects import Windows, look_at, measure_by_windows, measuring_window, telling_cracks
from segmentation.measurement.joining import joined_components
from segmentation.measurement.structures import StructureIndex
from segmentation.records import Defect, Structure
from segmentation.windows import Window
from tests.segmentation.measurement.rendering import Rendered, render, straight

SIDE_PX = 150
GEOREFERENCE = Georeference(SIDE_PX, SIDE_PX, (0.001, 0.0, 0.0, 0.0, -0.001, 0.0), None, 1.0)
STRUCTURE = Structure("all", "all", "all", "", "", None, raster_name="r.tif")


def defects(rendered: Rendered, *, block_px: int, backwards: bool, most_px: int = 0) -> list[Defect]:
    """All cracks, found in blocks, looked at, measured and joined as the measure stage does it; those whose window has
    more than `most_px` pixels window by window."""
    mask = rendered.pixels.astype(np.uint8) * np.uint8(PixelClass.CRACK)
    chance = np.stack([rendered.probability, np.zeros_like(rendered.probability)])
    probability = (255 * chance).astype(np.uint8)
    starts = range(0, SIDE_PX, block_px)
    windows = [Window(r, min(r + block_px, SIDE_PX), c, min(c + block_px, SIDE_PX)) for r in starts for c in starts]
    components = list(join_blocks([label_block(mask[w.slices()], window=w) for w in windows]))
    if backwards:
        components.reverse()

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
    windows_of = Windows(
        mask=lambda window: read(window)[0],
        probability=lambda window: read(window)[1],
        image=lambda window: read(window)[2],
        owned=lambda window: np.ones(window.shape, np.bool_),
    )
    how = Measuring(
        index=StructureIndex((STRUCTURE,), GEOREFERENCE, raster_name="r.tif"),
        georeference=GEOREFERENCE,
        raster_name="r.tif",
        min_width_px=2.0,
        min_crack_length_px=24.0,
        min_rust_area_px=64,
        appearance=pooled(told),
    )
    measured = [
        measure_by_windows(one, windows=windows_of, how=how, most_px=most_px or SIDE_PX**2) for one in components
    ]
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


@given(st.lists(LINE, min_size=2, max_size=5), st.sampled_from([(37, 64), (53, 101), (29, 150)]))
@settings(max_examples=10, deadline=None)
def test_cracks_too_large_to_be_read_at_once_are_the_same_for_any_block_size(
    lines: list[tuple[int, int, int, int]], blocks_px: tuple[int, int]
) -> None:
    """To the last digit: they are worked in cells of their own frame, of 40 px here."""
    drawn = [straight((c / 1e3, -r / 1e3), length_m=n / 1e3, angle_deg=a) for r, c, n, a in lines]
    rendered = render(drawn, width_m=0.003, shape=(SIDE_PX, SIDE_PX), samples=3)
    one, other = (defects(rendered, block_px=px, backwards=False, most_px=60**2) for px in blocks_px)
    assert one == other
    whole = defects(rendered, block_px=SIDE_PX, backwards=False)
    assert [d.window for d in one] == [d.window for d in whole]
    lengths = [[d.crack.length_m for d in found if d.crack] for found in (one, whole)]
    assert np.allclose(*lengths, rtol=0, atol=0.0015)
