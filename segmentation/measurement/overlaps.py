"""How much of a footprint lies under others: ground that counts for them."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import shapely
from shapely import STRtree

from segmentation.records import Structure

_MOST_CROSSINGS = 1_000_000
"""Products of the vertices of two footprints, summed: hostile ones, which cross wherever they can, take some 5 s."""


def shares_under_earlier(structures: Sequence[Structure]) -> dict[str, float]:
    """Share of each footprint that lies under those of structures before it, where there is any, by the structure's id.

    What is there counts for them alone. Not all are looked at where many, or footprints of many vertices, overlap.
    """
    own = [s for s in structures if s.problem is None and s.footprint is not None and s.component_of is None]
    footprints = np.array([s.footprint for s in own], np.object_)
    shares: dict[str, float] = {}
    for number, earlier in _overlaps(footprints):
        covered = shapely.intersection(footprints[earlier], footprints[number])
        if shapely.area(covered).any():
            shares[own[number].id] = float(shapely.union_all(covered).area / footprints[number].area)
    return shares


def _overlaps(footprints: npt.NDArray[np.object_]) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """The number of each footprint whose bounds share an area with those before it, and the numbers of those."""
    bounds, vertices = shapely.bounds(footprints), shapely.get_num_coordinates(footprints)
    tree, left = STRtree(footprints), _MOST_CROSSINGS
    for number in range(len(footprints)):
        near = tree.query(footprints[number])
        earlier = np.sort(near[near < number])
        least, most = (
            np.maximum(bounds[earlier, :2], bounds[number, :2]),
            np.minimum(bounds[earlier, 2:], bounds[number, 2:]),
        )
        earlier = earlier[(most > least).all(axis=1)]
        left -= near.size + int(vertices[number]) * int(vertices[earlier].sum())
        if left < 0:
            return
        if earlier.size:
            yield number, earlier
