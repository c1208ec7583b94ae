"""Which structures of two runs are the same, and the plane and extent in which they are laid on each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import cos, radians, sin
from typing import Any

import numpy as np

from segmentation.comparison.grids import Extent
from segmentation.comparison.similarity import Points
from segmentation.errors import InputRejected
from tasks.compare.plane import EarthPlane, LocalPlane, Plane
from tasks.compare.published import PublishedRun, RunRaster, RunStructure

_MARGIN_SHARE = 0.5
"""How much of the structure's size a raster may lie beside it and still be looked at."""


@dataclass(frozen=True, slots=True)
class StructurePair:
    """A structure as both runs list it; None where one does not."""

    older: Mapping[str, Any] | None
    newer: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class StructurePlace:
    """Where a structure is."""

    plane: Plane
    extent: Extent
    own_raster: str | None
    """Name of the raster that is the structure, where it has no footprint."""


def paired_structures(older: PublishedRun, newer: PublishedRun) -> tuple[StructurePair, ...]:
    """The structures of both runs, those of the newer one first: the same by id, else by a name that is unique.

    Surveys of one raster each, without footprints, are of the same structure whatever the file is called.
    """
    before, now = list(older.structure_lines()), list(newer.structure_lines())
    left = {line["id"]: line for line in before}
    pairs: list[StructurePair] = []
    unmatched = []
    for line in now:
        if line["id"] in left:
            pairs.append(StructurePair(left.pop(line["id"]), line))
        else:
            unmatched.append(line)
    for line in unmatched:
        same = [one for one in left.values() if one["name"] == line["name"] and line["name"]]
        alone = len(before) == len(now) == 1 and not pairs
        found = same[0] if len(same) == 1 else next(iter(left.values())) if alone and left else None
        if found is not None:
            left.pop(found["id"])
        pairs.append(StructurePair(found, line))
    order = {line["id"]: number for number, line in enumerate(now)}
    pairs.sort(key=lambda pair: order[pair.newer["id"]] if pair.newer is not None else len(order))
    return (*pairs, *(StructurePair(line, None) for line in left.values()))


def place_of(run: PublishedRun, structure: RunStructure) -> StructurePlace:
    """Plane and extent of a structure; raises InputRejected E_NO_PLACE where the run does not tell them."""
    stated = structure.report.get("coordinates") or {}
    if stated.get("of") == "footprint":
        return _by_footprint(stated)
    raster = _own_raster(run, structure)
    place = raster.georeference
    corners = np.array([[0.0, 0.0], [place.width, 0.0], [0.0, place.height], [place.width, place.height]])
    if place.is_local:
        origin = LocalPlane(0.0, 0.0)
        points = origin.of_pixels(place, corners)
        middle = points.mean(axis=0)
        return StructurePlace(LocalPlane(float(middle[0]), float(middle[1])), _extent_of(points - middle), raster.name)
    lons, lats = place.lonlat_from_pixel(np.array([place.height / 2]), np.array([place.width / 2]))
    plane = EarthPlane(float(lons[0]), float(lats[0]))
    return StructurePlace(plane, _extent_of(plane.of_pixels(place, corners)), raster.name)


def local_middle(place: StructurePlace) -> LocalPlane | None:
    """The plane's origin where the structure has no place on the earth."""
    return place.plane if isinstance(place.plane, LocalPlane) else None


def rasters_near(run: PublishedRun, plane: Plane, extent: Extent) -> tuple[RunRaster, ...]:
    """The rasters of a run that may show what lies around the plane's origin, the finest first."""
    found = []
    half = np.array([extent.half_width_m, extent.half_height_m]) * (1 + 2 * _MARGIN_SHARE)
    is_local = isinstance(plane, LocalPlane)
    for raster in run.rasters().values():
        own = raster.georeference
        if own.is_local != is_local:
            continue
        corners = np.array([[0.0, 0.0], [own.width, 0.0], [0.0, own.height], [own.width, own.height]])
        points = plane.of_pixels(own, corners)
        if not np.isfinite(points).all():
            continue
        if (points.min(axis=0) <= half).all() and (points.max(axis=0) >= -half).all():
            found.append(raster)
    return tuple(sorted(found, key=lambda raster: (raster.gsd_m, raster.name)))


def _by_footprint(stated: Mapping[str, Any]) -> StructurePlace:
    lon, lat = (float(value) for value in stated["origin"])
    heading = radians(float(stated["heading_deg"]))
    along, across = float(stated["length_m"]), float(stated["width_m"])
    corner = EarthPlane(lon, lat)
    forth = np.array([sin(heading), cos(heading)])
    left = np.array([-cos(heading), sin(heading)])
    points = np.array([a * along * forth + b * across * left for a in (0, 1) for b in (0, 1)])
    middle = corner.to_lonlat(points.mean(axis=0, keepdims=True))[0]
    plane = EarthPlane(float(middle[0]), float(middle[1]))
    return StructurePlace(plane, _extent_of(points - points.mean(axis=0)), None)


def _own_raster(run: PublishedRun, structure: RunStructure) -> RunRaster:
    rasters = run.rasters()
    if len(rasters) == 1:
        return next(iter(rasters.values()))
    for raster in rasters.values():
        if structure.name == raster.name.rsplit(".", 1)[0] or structure.id == raster.slug:
            return raster
    raise InputRejected(
        "E_NO_PLACE",
        structure.name,
        "the run must tell where the structure is, got neither a footprint nor a raster of its name",
        "give the footprint in structures.geojson and inspect the survey again",
    )


def _extent_of(points: Points) -> Extent:
    half = np.abs(points).max(axis=0)
    return Extent(float(half[0]), float(half[1]))


def same_ground(pairs: Sequence[tuple[StructurePlace, StructurePlace]]) -> list[bool]:
    """Whether both places of each pair touch each other on the earth; True where neither has a place there."""
    return [_touch(one, other) for one, other in pairs]


def _touch(one: StructurePlace, other: StructurePlace) -> bool:
    if not (isinstance(one.plane, EarthPlane) and isinstance(other.plane, EarthPlane)):
        return isinstance(one.plane, LocalPlane) and isinstance(other.plane, LocalPlane)
    middle = one.plane.of_lonlat(np.array([[other.plane.lon, other.plane.lat]]))[0]
    reach = np.array(
        [
            one.extent.half_width_m + other.extent.half_width_m,
            one.extent.half_height_m + other.extent.half_height_m,
        ]
    )
    return bool(np.isfinite(middle).all() and (np.abs(middle) <= 1.5 * reach).all())
