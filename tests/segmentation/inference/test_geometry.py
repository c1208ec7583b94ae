"""Blocks and tiles: every pixel has one owner, every window its context."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.inference.geometry import TileGeometry, aligned_window, blocks, mirrored, plan_read, tiles
from segmentation.windows import Window

EXTENTS = st.integers(1, 211)
GEOMETRIES = st.builds(
    lambda align, core, halo: TileGeometry(alignment_px=align, halo_px=halo * align, core_px=core * align),
    st.sampled_from([1, 2, 4, 16]),
    st.integers(1, 7),
    st.integers(0, 5),
)


@given(EXTENTS, EXTENTS, GEOMETRIES, st.integers(1, 3))
def test_every_pixel_is_owned_by_exactly_one_tile_of_one_block(
    height: int, width: int, geometry: TileGeometry, cores: int
) -> None:
    owners = np.zeros((height, width), np.int32)
    for block in blocks(height, width, block_px=cores * geometry.core_px):
        for tile in tiles(block.window, geometry=geometry):
            owners[tile.core.slices()] += 1
    assert (owners == 1).all()


@given(EXTENTS, EXTENTS, GEOMETRIES)
def test_every_window_is_aligned_and_holds_its_core_with_a_halo(
    height: int, width: int, geometry: TileGeometry
) -> None:
    for tile in tiles(Window(0, height, 0, width), geometry=geometry):
        window, core = tile.window, tile.core
        assert window.row_start % geometry.alignment_px == 0
        assert window.col_start % geometry.alignment_px == 0
        assert all(side % geometry.alignment_px == 0 for side in window.shape)
        assert window.intersect(core.grow(geometry.halo_px)) == core.grow(geometry.halo_px)
        assert max(window.shape) <= geometry.window_px


@given(EXTENTS, EXTENTS, GEOMETRIES, st.integers(1, 3))
def test_the_windows_of_a_blocks_tiles_lie_in_the_window_that_the_block_reads(
    height: int, width: int, geometry: TileGeometry, cores: int
) -> None:
    for block in blocks(height, width, block_px=cores * geometry.core_px):
        read = aligned_window(block.window, geometry)
        assert all(read.intersect(t.window) == t.window for t in tiles(block.window, geometry=geometry))


@dataclass(frozen=True)
class MirrorCase:
    id: str
    start: int
    stop: int
    extent: int
    expected: list[int]


MIRROR_CASES = [
    MirrorCase("inside-nothing-changes", 1, 4, 5, [1, 2, 3]),
    MirrorCase("the-edge-pixel-is-not-repeated", -2, 2, 5, [2, 1, 0, 1]),
    MirrorCase("a-raster-smaller-than-the-halo-is-mirrored-again-and-again", -4, 6, 3, [0, 1, 2, 1, 0, 1, 2, 1, 0, 1]),
    MirrorCase("a-raster-of-one-pixel-is-that-pixel", -3, 3, 1, [0, 0, 0, 0, 0, 0]),
]


@pytest.mark.parametrize("case", MIRROR_CASES, ids=lambda c: c.id)
def test_positions_outside_are_mirrored(case: MirrorCase) -> None:
    assert mirrored(case.start, case.stop, case.extent).tolist() == case.expected


@given(st.integers(2, 40), st.integers(0, 39))
def test_mirroring_equals_numpys_reflect(extent: int, margin: int) -> None:
    margin = min(margin, extent - 1)  # numpy's own limit for one reflection
    reflected = np.pad(np.arange(extent), margin, mode="reflect")
    assert mirrored(-margin, extent + margin, extent).tolist() == reflected.tolist()


@given(EXTENTS, EXTENTS, st.integers(-90, 200), st.integers(-90, 200), st.integers(1, 90))
def test_a_mirrored_read_equals_a_window_of_the_mirrored_raster(
    height: int, width: int, row: int, col: int, side: int
) -> None:
    raster = np.arange(height * width).reshape(height, width)
    window = Window(row, row + side, col, col + side)
    plan = plan_read(window, height, width)
    whole = raster[np.ix_(mirrored(row, row + side, height), mirrored(col, col + side, width))]
    assert (plan.fill(raster[plan.source.slices()]) == whole).all()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"alignment_px": 16, "halo_px": 17, "core_px": 32}, "multiples of alignment_px"),
        ({"alignment_px": 16, "halo_px": 16, "core_px": 8}, "at least one aligned step"),
    ],
    ids=["a-halo-off-the-grid-is-refused", "a-core-below-one-step-is-refused"],
)
def test_geometry_refuses(kwargs: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TileGeometry(**kwargs)


def test_a_block_off_the_grid_is_refused() -> None:
    geometry = TileGeometry(alignment_px=16, halo_px=16, core_px=32)
    with pytest.raises(ValueError, match="must start at a multiple of 16 px"):
        tiles(Window(3, 40, 0, 40), geometry=geometry)
