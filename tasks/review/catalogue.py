"""The STAC item of a revision: that of a run's files, told apart from the run's own item and linked to it."""

import json
from collections.abc import Mapping
from typing import Any, Final

from segmentation.classes import CLASS_NAMES
from tasks.layers import geojson
from tasks.layers.stac_item import COLLECTION_FILE, ITEM_FILE
from tasks.output_files import OutputFiles
from tasks.report.wording import clean_text
from tasks.review.place import ReviewPlace
from tasks.storage import Storage

_UP: Final = ".."
"""From the item's folder to the revision's."""


def write_reviewed_item(
    files: OutputFiles, storage: Storage, place: ReviewPlace, *, number: int, issued_at: str, words: str
) -> None:
    """Put the item that the layers wrote right for a revision; nothing where they wrote none."""
    if ITEM_FILE not in files.sha256:
        return
    record = json.loads(storage.read(ITEM_FILE))
    files.write_json(
        ITEM_FILE,
        reviewed_item(record, place, number=number, issued_at=issued_at, words=words),
        content_type=geojson.MEDIA_TYPE,
    )


def reviewed_item(
    record: Mapping[str, Any], place: ReviewPlace, *, number: int, issued_at: str, words: str
) -> dict[str, Any]:
    """The item of a run's files as that of a revision of the run; all links are relative."""
    properties = {
        **record["properties"],
        "title": f"{record['properties']['title']}, revision {number}",
        "updated": issued_at.replace("+00:00", "Z"),
        "processing:lineage": clean_text(f"{record['properties']['processing:lineage']}. {words}"),
        "spanscan:revision": number,
    }
    assets = dict(record["assets"])
    assets["masks-zarr"] = {
        **assets["masks-zarr"],
        "href": f"{_UP}/{place.run_from_revision}/masks.zarr",
        "description": f"As the machine found it, before the review: {', '.join(CLASS_NAMES)} and their probabilities",
    }
    return {
        **record,
        "id": f"{record['id']}-r{number}",
        "properties": properties,
        "assets": assets,
        "links": _links(place),
    }


def _links(place: ReviewPlace) -> list[dict[str, str]]:
    links = []
    if place.is_in_survey:
        collection = {"href": f"{_UP}/../../../../../{COLLECTION_FILE}", "type": "application/json"}
        links = [{"rel": "collection", **collection}, {"rel": "parent", **collection}]
    if place.run.exists(ITEM_FILE):
        href = f"{_UP}/{place.run_from_revision}/{ITEM_FILE}"
        links.append({"rel": "derived_from", "href": href, "type": geojson.MEDIA_TYPE, "title": "The machine's own"})
    return links
