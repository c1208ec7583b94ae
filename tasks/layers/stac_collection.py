"""The STAC collection over all surveys of a results folder: one link to the published item of each survey.

``collection.json`` lies at the root of the results and is changed by a conditional write, as the surveys' pointers are:
read, put one survey's link in place, write if nobody else wrote. So no update is lost, and none needs a listing: with
10,000 surveys a publication reads and writes one file of some 4 MB. Surveys that were published before they had an item
join when they are published again.
"""

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pystac

from segmentation.errors import RunFailed
from tasks.layers.stac_item import COLLECTION_FILE, COLLECTION_ID, ITEM_FILE, utc_bounds
from tasks.output_files import dumped_json
from tasks.storage import Storage

_SURVEY: Final = "spanscan:survey_id"
_BBOX: Final = "spanscan:bbox"
_INTERVAL: Final = "spanscan:interval"
_MOST_TRIES: Final = 60
_LONGEST_PAUSE_S: Final = 0.5
_WORLD: Final = [-180.0, -90.0, 180.0, 90.0]


def update_collection(root: Storage, *, survey_id: str, published_run: Callable[[], str]) -> None:
    """Point the survey's link at the item of its published run; remove it where that run has no item.

    `published_run` reads the survey's pointer: the run's folder below ``<survey_id>/``. It is asked again at each
    try, after the collection was looked at, so that of two runs of one survey the one pointed at stays. Raises
    RunFailed E_COLLECTION where the file that is there is no such collection, or where other runs keep overtaking
    this one.
    """
    for attempt in range(_MOST_TRIES):
        before = root.head(COLLECTION_FILE).etag if root.exists(COLLECTION_FILE) else None
        link = _link(root, survey_id, f"{survey_id}/{published_run()}/{ITEM_FILE}")
        links = _kept_links(root, survey_id) if before is not None else []
        if link is None and before is None:
            return
        record = collection_record([*links, *([link] if link else [])])
        if root.swap(COLLECTION_FILE, dumped_json(record), expected=before).swapped:
            return
        time.sleep(random.uniform(0, min(_LONGEST_PAUSE_S, 0.02 * 2**attempt)))
    raise RunFailed(
        "E_COLLECTION",
        root.uri(COLLECTION_FILE),
        f"the collection must stay in place while it is changed, got {_MOST_TRIES} changes by other runs in a row",
        "run it again once the other runs have ended",
    )


def collection_record(links: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The collection as JSON data; its extents are those that `links` tell of, the world where none does."""
    intervals = [link[_INTERVAL] for link in links if link.get(_INTERVAL)]
    return {
        "type": "Collection",
        "stac_version": pystac.get_stac_version(),
        "id": COLLECTION_ID,
        "title": "Inspected surveys",
        "description": "Cracks and rust of structures, one item per survey: its published inspection.",
        "license": "other",
        "extent": {
            "spatial": {"bbox": [_joined([link[_BBOX] for link in links if link.get(_BBOX)])]},
            "temporal": {
                "interval": [
                    [min(i[0] for i in intervals), max(i[1] for i in intervals)] if intervals else [None, None]
                ]
            },
        },
        "links": sorted(links, key=lambda link: str(link[_SURVEY])),
    }


def _link(root: Storage, survey_id: str, key: str) -> dict[str, Any] | None:
    """The link to an item, with what the collection's extents need of it; None where there is no item."""
    if not root.exists(key):
        return None
    item = json.loads(root.read(key))
    return {
        "rel": "item",
        "href": f"./{_href(key)}",
        "type": "application/geo+json",
        "title": item["properties"]["title"],
        _SURVEY: survey_id,
        _BBOX: item.get("bbox"),
        _INTERVAL: utc_bounds(item),
    }


def _kept_links(root: Storage, survey_id: str) -> list[dict[str, Any]]:
    """The links to the other surveys' items."""
    try:
        record = json.loads(root.read(COLLECTION_FILE))
        if record["id"] != COLLECTION_ID:
            raise ValueError(f"its id is {record['id']!r}")
        return [link for link in record["links"] if link[_SURVEY] != survey_id]
    except (ValueError, KeyError, TypeError) as error:
        got = " ".join(str(error).split())[:200]
        cause = f"the file must be the collection of this folder's surveys, got another one: {got}"
        raise RunFailed("E_COLLECTION", root.uri(COLLECTION_FILE), cause, "move it away and run again") from error


def _href(key: str) -> str:
    """A key as a relative reference; what every reader takes as it is, letters of all scripts and spaces, stays so."""
    for character in "%#?":
        key = key.replace(character, f"%{ord(character):02X}")
    return key


def _joined(boxes: Sequence[Sequence[float]]) -> list[float]:
    """The box around all; west is greater than east where it crosses the antimeridian."""
    if not boxes:
        return list(_WORLD)
    south, north = min(box[1] for box in boxes), max(box[3] for box in boxes)
    if all(box[0] <= box[2] for box in boxes):
        return [min(box[0] for box in boxes), south, max(box[2] for box in boxes), north]
    unrolled = [[edge + 360 if edge < 0 else edge for edge in (box[0], box[2])] for box in boxes]
    west, east = min(edges[0] for edges in unrolled), max(edges[1] for edges in unrolled)
    if east - west >= 360 or any(edges[0] > edges[1] for edges in unrolled):
        return [_WORLD[0], south, _WORLD[2], north]
    return [west - 360 if west > 180 else west, south, east - 360 if east > 180 else east, north]
