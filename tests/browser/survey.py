"""A small survey with the names that a page must bear: of many scripts, and of those who would break it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import shapely
from shapely.geometry import box, mapping, shape
from shapely.geometry.polygon import orient

from tasks.sample_survey import write_sample_survey


@dataclass(frozen=True)
class Name:
    """A structure's name, and what of it must be read on the page."""

    text: str
    seen: str


NAMES = (
    Name('<img src=x onerror="window.hacked=1;alert(1)">', "<img src=x onerror="),
    Name("</script><script>window.hacked=2;alert(2)</script>", "</script><script>window.hacked"),
    Name("=cmd|' /C calc'!A0", "=cmd|' /C calc'!A0"),
    Name("جسر النيل القديم", "جسر النيل القديم"),
    Name("第二橋脚（東）", "第二橋脚（東）"),
    Name("annexe\u202egnp.exe", "annexe"),
    Name("{{ 7*7 }} ${alert(3)} `x` Brücke & Söhne Σίγμα Мост", "{{ 7*7 }} ${alert(3)} `x` Brücke & Söhne Σίγμα Мост"),
)
"""One for each part of the deck."""
UNSEEN = "Pier that no raster shows"
PANEL = "Sample truss panel"


def write_survey(folder: Path, *, scale: float) -> Path:
    """The sample survey in `folder`, its deck cut into one structure per name, and one structure beside the rasters."""
    write_sample_survey(folder, seed=11, scale=scale)
    path = folder / "structures.geojson"
    deck, truss = json.loads(path.read_text(encoding="utf-8"))["features"]
    footprint = shape(deck["geometry"])
    west, south, east, north = footprint.bounds
    features = [truss]
    for number, name in enumerate(NAMES):
        left, right = (west + (east - west) * (number + step) / len(NAMES) for step in (0, 1))
        features.append(
            _feature(f"d{number}", name.text, "deck", shapely.intersection(footprint, box(left, south, right, north)))
        )
    beside = box(east + 3 * (east - west), south, east + 3.5 * (east - west), north)
    features.append(_feature("pier", UNSEEN, "pier", beside))
    document = {"type": "FeatureCollection", "features": features}
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    return folder


def _feature(identity: str, name: str, kind: str, footprint: shapely.Polygon) -> dict[str, Any]:
    own = {"id": identity, "name": name, "kind": kind, "material": "concrete"}
    return {"type": "Feature", "properties": own, "geometry": mapping(orient(footprint))}
