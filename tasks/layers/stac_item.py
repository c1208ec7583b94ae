"""A run as a STAC item: where, when, with what model, and the files with their checksums.

STAC 1.1 with the extensions projection, raster, classification, table, file, processing and, where a model made the
masks, MLM. All links are relative, so that the results may be moved as one.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import pystac
import shapely
from shapely.geometry import mapping

from segmentation.models.card import ModelCard
from segmentation.records import RasterInput, RunIdentity
from tasks.layers.dates import capture_time, utc_text
from tasks.layers.geometry import bounds_of, layer_geometries
from tasks.layers.stac_assets import Asset, projection
from tasks.layers.stac_classes import CLASSIFICATION, FILE, MLM, PROCESSING, PROJECTION, RASTER, TABLE
from tasks.layers.stac_model import model_asset, model_properties
from tasks.report.places import lonlat_outline
from tasks.report.record import finite
from tasks.report.wording import clean_text
from tasks.slugs import slug

ITEM_FILE: Final = "stac/item.json"
"""The item within the run."""
COLLECTION_FILE: Final = "collection.json"
"""The collection of all surveys, at the root of the results."""
COLLECTION_ID: Final = "spanscan-surveys"
_COLLECTION_HREF: Final = f"../../../../{COLLECTION_FILE}"
"""From ``<survey>/runs/<run_key>/stac/``."""
NO_DATE: Final = (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
"""The interval of a survey that states no date: STAC asks for one, and any narrower one would be made up."""


def stac_item(
    *, run: RunIdentity, rasters: Sequence[RasterInput], assets: Mapping[str, Asset], card: ModelCard | None
) -> dict[str, Any]:
    """The item of a run as JSON data; geometry null and no bounds where no raster has a place on the earth."""
    footprints = layer_geometries([lonlat_outline(raster.georeference) for raster in rasters])
    bounds = bounds_of(footprints)
    start, end = _times(run)
    item = pystac.Item(
        id=f"{slug(run.survey_id, fallback='survey')}-{run.run_key}",
        geometry=None if bounds is None else _union(footprints),
        bbox=None if bounds is None else list(bounds),
        datetime=start if start == end else None,
        start_datetime=None if start == end else start,
        end_datetime=None if start == end else end,
        properties=_properties(run, rasters, card),
        collection=COLLECTION_ID,
    )
    item.stac_extensions = [PROJECTION, RASTER, CLASSIFICATION, TABLE, FILE, PROCESSING, *([MLM] if card else [])]
    for key, asset in {**assets, **({"model": model_asset(card)} if card else {})}.items():
        item.add_asset(key, pystac.Asset.from_dict(dict(asset)))
    record = item.to_dict(include_self_link=False, transform_hrefs=False)
    # Written by hand: the library knows a collection's address only once it is there.
    link = {"href": _COLLECTION_HREF, "type": "application/json"}
    record["links"] = [{"rel": "collection", **link}, {"rel": "parent", **link}]
    return record


def _union(footprints: Any) -> dict[str, Any]:
    union = shapely.orient_polygons(shapely.union_all(footprints))
    geometry: dict[str, Any] = mapping(union)
    return geometry


def _times(run: RunIdentity) -> tuple[datetime, datetime]:
    captured = capture_time(run.captured_at)
    return NO_DATE if captured is None else (captured.start, captured.end)


def _properties(run: RunIdentity, rasters: Sequence[RasterInput], card: ModelCard | None) -> dict[str, Any]:
    undated = " The date of capture was not stated." if capture_time(run.captured_at) is None else ""
    gsds = [gsd for raster in rasters if (gsd := finite(raster.gsd_m)) is not None]
    only = projection(rasters[0]) if len(rasters) == 1 else {}
    return {
        "title": clean_text(run.survey_id, most_chars=200),
        "description": f"Cracks and rust found in {len(rasters)} raster{'' if len(rasters) == 1 else 's'}.{undated}",
        **({"gsd": min(gsds)} if gsds else {}),
        **({"providers": [{"name": clean_text(run.operator), "roles": ["producer"]}]} if run.operator else {}),
        "processing:software": {"spanscan": run.spanscan_version},
        "processing:lineage": _lineage(run),
        "spanscan:survey_id": clean_text(run.survey_id),
        "spanscan:run_key": run.run_key,
        **only,
        **(model_properties(card, settings=run.settings) if card else {}),
    }


def _lineage(run: RunIdentity) -> str:
    if run.given_mask is not None:
        given = run.given_mask
        return f"Measured and graded from the mask {clean_text(given.name)} (SHA-256 {given.sha256}); no model was used"
    model = f" with {run.model.name} (SHA-256 {run.model.sha256})" if run.model else ""
    return clean_text(f"Every pixel classified{model}, then stitched, measured and graded")


def utc_bounds(run_item: Mapping[str, Any]) -> tuple[str, str] | None:
    """First and last instant of an item, RFC 3339; None where it states no date."""
    properties = run_item["properties"]
    stated = properties.get("datetime")
    start = stated or properties.get("start_datetime")
    end = stated or properties.get("end_datetime")
    if start is None or end is None or (start, end) == tuple(utc_text(instant) for instant in NO_DATE):
        return None
    return str(start), str(end)
