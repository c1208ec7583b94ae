"""structures.geojson: the footprints of the inspected assets, read with json and shapely only.

RFC 7946 with the old ``crs`` member where it names a known CRS; nothing is ever fetched. One bad polygon makes
one structure that cannot be inspected, and says so; it does not harm the others.

A feature with the property ``component_of``, the id of another, is a named part of that structure.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError
from shapely.geometry.base import BaseGeometry

from segmentation.errors import InputRejected
from segmentation.measurement.overlaps import shares_under_earlier
from segmentation.records import RasterInput, Structure
from tasks.input_limits import InputLimits
from tasks.json_document import LONGEST_TEXT, clean_text, parse_json
from tasks.slugs import unique_slugs

_Lines = npt.NDArray[np.float64]
_NAMED_CRS = re.compile(r"(?:urn:(?:x-)?ogc:def:crs:)?EPSG:(?:[0-9.]*:)?([0-9]{4,6})", re.IGNORECASE)
_WGS84_NAMES = re.compile(r"(?:urn:ogc:def:crs:)?OGC:(?:[0-9.]*:)?CRS84h?|CRS84", re.IGNORECASE)
_TEXTS = ("id", "name", "kind", "material", "component_of")
_UNKNOWN = "unknown"
_AS_GEOJSON = "write it as GeoJSON in WGS 84 (RFC 7946)"
_WIDEST_STEP_DEG = 180.0
_TELLING_SHARE = 0.01
"""Neighbours drawn by hand share a little along their borders."""
_MOST_NAMED = 3
_LONGEST_NAMED = 60


class _UnusableError(Exception):
    """Why one structure's footprint cannot be used, in words."""


def read_structures(data: bytes, *, name: str, limits: InputLimits) -> tuple[Structure, ...]:
    """The structures of a GeoJSON document in its order, footprints in WGS 84 (lon, lat).

    Raises InputRejected E_GEOJSON for a document that cannot be understood as a whole, E_DUP_ID, E_LIMIT.
    A structure with an unusable footprint has `problem` set and no footprint. Components stand among them, with
    `component_of` set.
    """
    document = parse_json(data, name=name, code="E_GEOJSON", max_bytes=limits.max_document_bytes)
    features = _features(document, name)
    if len(features) > limits.max_structures:
        cause = f"there must be at most {limits.max_structures} structures, got {len(features)}"
        raise InputRejected("E_LIMIT", name, cause, "split the survey, or raise SPANSCAN_MAX_STRUCTURES")
    to_wgs84 = _to_wgs84(document, name)
    budget = _VertexBudget(limits.max_vertices, name)
    for feature in features:
        _check_texts(feature, name)
    ids = _with_defaults([_id(feature) for feature in features])
    _check_unique(ids, name)
    titles = [_property(feature, "name", default=own_id) for feature, own_id in zip(features, ids, strict=True)]
    slugs = unique_slugs(
        (own_id if own_id == title else f"{own_id} {title}" for own_id, title in zip(ids, titles, strict=True)),
        fallback="structure",
    )
    found = [
        _structure(feature, own_id, title, own_slug, to_wgs84, budget)
        for feature, own_id, title, own_slug in zip(features, ids, titles, slugs, strict=True)
    ]
    wholes = [_whole(feature) for feature in features]
    return _with_components(found, wholes)


def structures_of_rasters(rasters: Sequence[RasterInput], *, taken: Sequence[Structure]) -> tuple[Structure, ...]:
    """One structure per raster, which is its own footprint; ids and slugs differ from those `taken`."""
    slugs = unique_slugs([*(s.slug for s in taken), *(r.name.rsplit(".", 1)[0] for r in rasters)], fallback="raster")
    ids = {_same(structure.id) for structure in taken}
    structures = []
    for raster, own_slug in zip(rasters, slugs[len(taken) :], strict=True):
        title = clean_text(raster.name.rsplit(".", 1)[0])
        own_id = title if _same(title) not in ids else own_slug
        ids.add(_same(own_id))
        structures.append(
            Structure(
                own_id, title, own_slug, kind="structure", material="unknown", footprint=None, raster_name=raster.name
            )
        )
    return tuple(structures)


def overlap_warnings(structures: Sequence[Structure]) -> tuple[str, ...]:
    """Which structures lie so far under others that their coverage shows it, in one sentence; the worst by name."""
    shares = {own_id: share for own_id, share in shares_under_earlier(structures).items() if share >= _TELLING_SHARE}
    if not shares:
        return ()
    worst = sorted(shares, key=lambda own_id: -shares[own_id])[:_MOST_NAMED]
    named = [f"{shares[own_id]:.0%} of {own_id[:_LONGEST_NAMED]}" for own_id in worst]
    more = [f"part of {len(shares) - len(worst)} more"] if len(shares) > len(worst) else []
    return (
        f"footprints overlap: {', '.join([*named, *more])} under structures that stand before in the file; what lies "
        "there counts for the first alone and is no inspected ground of the others",
    )


def _features(document: Any, name: str) -> list[dict[str, Any]]:
    kind = document.get("type") if isinstance(document, dict) else None
    if kind == "FeatureCollection" and isinstance(document.get("features"), list):
        features: list[dict[str, Any]] = document["features"]
    elif kind == "Feature":
        features = [document]
    elif kind in ("Polygon", "MultiPolygon"):
        features = [{"type": "Feature", "properties": {}, "geometry": document}]
    else:
        cause = f"it must be a FeatureCollection, got {kind if isinstance(kind, str) else type(document).__name__}"
        raise InputRejected("E_GEOJSON", name, clean_text(cause)[:200], _AS_GEOJSON)
    if not features:
        cause = "it must hold a structure, got an empty collection"
        raise InputRejected(
            "E_GEOJSON", name, cause, "add the footprints, or leave the file out to take each raster as one structure"
        )
    if not all(isinstance(feature, dict) and feature.get("type") == "Feature" for feature in features):
        raise InputRejected("E_GEOJSON", name, "every member of features must be a Feature, got another", _AS_GEOJSON)
    return features


def _to_wgs84(document: Any, name: str) -> Callable[[_Lines], _Lines] | None:
    """How positions become WGS 84 (lon, lat); None where they are. A link is refused, never followed."""
    member = document.get("crs")
    if member is None:
        return None
    properties = member.get("properties") if isinstance(member, dict) else None
    named = properties.get("name") if isinstance(properties, dict) and member.get("type") == "name" else None
    if not isinstance(named, str):
        cause = "the crs member must name a CRS, got a link or something else"
        raise InputRejected("E_GEOJSON", name, cause, f"leave it out and {_AS_GEOJSON}")
    if _WGS84_NAMES.fullmatch(named.strip()):
        return None
    match = _NAMED_CRS.fullmatch(named.strip())
    try:
        crs = CRS.from_epsg(int(match[1])) if match else None
    except CRSError:
        crs = None
    if crs is None or not (crs.is_geographic or crs.is_projected):
        cause = f"the crs member must name a known map CRS, got {clean_text(named)[:100]!r}"
        raise InputRejected("E_GEOJSON", name, cause, f"leave it out and {_AS_GEOJSON}")
    transformer = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)

    def transform(positions: _Lines) -> _Lines:
        return np.column_stack(transformer.transform(positions[:, 0], positions[:, 1]))

    return transform


def _check_texts(feature: dict[str, Any], name: str) -> None:
    """Raise InputRejected E_LIMIT for a text of a feature that no report could hold."""
    properties = feature.get("properties")
    named = properties if isinstance(properties, dict) else {}
    for value in (feature.get("id"), *(named.get(key) for key in _TEXTS)):
        if isinstance(value, str) and len(value) > LONGEST_TEXT:
            cause = f"ids, names and the like must have at most {LONGEST_TEXT} characters, got {len(value)}"
            raise InputRejected("E_LIMIT", name, cause, "shorten it")


def _id(feature: dict[str, Any]) -> str | None:
    properties = feature.get("properties")
    given = properties.get("id") if isinstance(properties, dict) else None
    for value in (given, feature.get("id")):
        if isinstance(value, float) and value.is_integer():
            return str(int(value))
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, str) and clean_text(value):
            return clean_text(value)
    return None


def _with_defaults(ids: Sequence[str | None]) -> list[str]:
    """S1, S2 … for those without an id, by their place in the file and past the ids that were given."""
    given = {_same(own_id) for own_id in ids if own_id is not None}
    filled = []
    for number, own_id in enumerate(ids, 1):
        default = f"S{number}"
        while own_id is None and default in given:
            default += "-new"
        filled.append(default if own_id is None else own_id)
    return filled


def _check_unique(ids: Sequence[str], name: str) -> None:
    first_by_id: dict[str, int] = {}
    for number, own_id in enumerate(ids, 1):
        first = first_by_id.setdefault(_same(own_id), number)
        if first != number:
            cause = f"ids must differ, got {own_id!r} for the features {first} and {number}"
            raise InputRejected("E_DUP_ID", name, cause, "give each structure an id of its own")


def _same(own_id: str) -> str:
    """What two ids share that nobody could tell apart in a report."""
    shown = "".join(c for c in own_id if unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFKC", shown).strip()


def _whole(feature: dict[str, Any]) -> str | None:
    """The id of the structure that a feature is a component of, as it is given."""
    properties = feature.get("properties")
    given = properties.get("component_of") if isinstance(properties, dict) else None
    return None if given is None else _id({"properties": {"id": given}}) or ""


def _with_components(structures: Sequence[Structure], wholes: Sequence[str | None]) -> tuple[Structure, ...]:
    """The structures, with `component_of` set where another one of the file is named that is no component itself.

    A component whose structure is not there stands on its own, with a problem; one of a structure that cannot be
    inspected shares its problem. A component without a material is of its structure's.
    """
    by_id = {_same(one.id): (one, whole) for one, whole in zip(structures, wholes, strict=True)}
    joined = []
    for one, whole in zip(structures, wholes, strict=True):
        if whole is None:
            joined.append(one)
            continue
        parent, parents_whole = by_id.get(_same(whole), (None, None))
        if parent is None or parents_whole is not None:
            cause = f"component_of must be the id of a structure that is no component itself, got {whole[:100]!r}"
            joined.append(replace(one, footprint=None, problem=one.problem or cause))
            continue
        material = parent.material if one.material == _UNKNOWN else one.material
        problem = one.problem
        if problem is None and parent.problem is not None:
            problem = f"the structure it is part of cannot be inspected: {parent.problem}"
        footprint = None if problem is not None else one.footprint
        joined.append(replace(one, component_of=parent.id, material=material, problem=problem, footprint=footprint))
    return tuple(joined)


def _property(feature: dict[str, Any], key: str, *, default: str) -> str:
    properties = feature.get("properties")
    value = properties.get(key) if isinstance(properties, dict) else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    return (clean_text(value) if isinstance(value, str) else "") or default


def _structure(
    feature: dict[str, Any],
    own_id: str,
    title: str,
    own_slug: str,
    to_wgs84: Callable[[_Lines], _Lines] | None,
    budget: "_VertexBudget",
) -> Structure:
    footprint: BaseGeometry | None = None
    problem: str | None = None
    try:
        footprint = _footprint(feature.get("geometry"), to_wgs84, budget)
    except _UnusableError as error:
        problem = str(error)
    kind = _property(feature, "kind", default="structure")
    material = _property(feature, "material", default=_UNKNOWN).lower()
    return Structure(own_id, title, own_slug, kind, material, footprint, problem)


class _VertexBudget:
    """How many vertices may still come."""

    def __init__(self, limit: int, name: str) -> None:
        self._limit, self._left, self._name = limit, limit, name

    def take(self, count: int) -> None:
        """Raise InputRejected E_LIMIT where `count` more are too many."""
        self._left -= count
        if self._left < 0:
            cause = f"all footprints together must have at most {self._limit} vertices, got more"
            raise InputRejected("E_LIMIT", self._name, cause, "simplify the polygons, or raise SPANSCAN_MAX_VERTICES")


def _footprint(geometry: Any, to_wgs84: Callable[[_Lines], _Lines] | None, budget: _VertexBudget) -> BaseGeometry:
    if not isinstance(geometry, dict):
        raise _UnusableError("it has no geometry")
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind not in ("Polygon", "MultiPolygon"):
        shown = clean_text(kind)[:40] if isinstance(kind, str) else "nothing"
        raise _UnusableError(f"its footprint must be a polygon, got {shown}")
    parts = [coordinates] if kind == "Polygon" else coordinates
    if not isinstance(parts, list) or not parts:
        raise _UnusableError("its polygon is empty")
    polygons = [shapely.Polygon(rings[0], rings[1:]) for rings in (list(_rings(p, to_wgs84, budget)) for p in parts)]
    shape = polygons[0] if kind == "Polygon" else shapely.MultiPolygon(polygons)
    if not shape.is_valid:
        raise _UnusableError(f"its polygon is invalid: {shapely.is_valid_reason(shape)}")
    if shape.area <= 0:
        raise _UnusableError("its polygon has no area")
    return shape


def _rings(polygon: Any, to_wgs84: Callable[[_Lines], _Lines] | None, budget: _VertexBudget) -> Iterator[_Lines]:
    """The rings of one polygon as ``(N, 2)`` of (lon, lat)."""
    if not isinstance(polygon, list) or not polygon:
        raise _UnusableError("its polygon is empty")
    for ring in polygon:
        if not isinstance(ring, list) or len(ring) < 4:
            raise _UnusableError("a ring of its polygon has fewer than 4 positions")
        budget.take(len(ring))
        positions = _positions(ring)
        if not np.array_equal(positions[0], positions[-1]):
            raise _UnusableError("a ring of its polygon is not closed")
        if to_wgs84 is not None:
            positions = to_wgs84(positions)
        lons, lats = positions.T
        if not np.isfinite(positions).all() or abs(lons).max() > 180 or abs(lats).max() > 90:
            got = f"{lons[0]:.8g}, {lats[0]:.8g}"
            raise _UnusableError(f"its positions must be longitudes and latitudes in degrees, got {got}")
        if abs(np.diff(lons)).max() > _WIDEST_STEP_DEG:
            raise _UnusableError(
                "it goes half round the earth in one step; a polygon over the antimeridian must be cut there into a "
                "MultiPolygon (RFC 7946, 3.1.9)"
            )
        yield positions


def _positions(ring: list[Any]) -> _Lines:
    """The first two coordinates of each position, finite, ``(N, 2)``."""
    try:
        pairs = [(x, y) for x, y, *_ in ring]
        if any(isinstance(x, str | bool) or isinstance(y, str | bool) for x, y in pairs):
            raise TypeError
        positions = np.array(pairs, np.float64)
        if positions.shape != (len(ring), 2):
            raise TypeError
    except (TypeError, ValueError, OverflowError):
        raise _UnusableError("a position of its polygon is not a pair of numbers") from None
    if not np.isfinite(positions).all():
        raise _UnusableError("a position of its polygon is not a finite number")
    return positions
