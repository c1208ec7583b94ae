"""The collection over surveys: valid, complete when many publish at once, and true of what is published."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pystac
import pytest

from segmentation.errors import RunFailed
from segmentation.georeference import Georeference
from tasks.layers.stac_collection import collection_record, update_collection
from tasks.s3_client import s3_client
from tasks.s3_server import EmbeddedS3
from tasks.storage import Storage, open_storage
from tests.tasks.layers.layer_samples import LOCAL, raster_of, written
from tests.tasks.layers.stac_validation import NoNetwork, validate
from tests.tasks.report.samples import GEOREFERENCE, RUN


def root_of(folder: Path) -> Storage:
    return open_storage(str(folder), endpoint_url=None, region=None)


def publish(
    folder: Path,
    survey_id: str,
    *,
    run_key: str = "a1",
    captured_at: str | None = "2025-05-04",
    georeference: Georeference = GEOREFERENCE,
    with_item: bool = True,
) -> None:
    run = replace(RUN, survey_id=survey_id, run_key=run_key, captured_at=captured_at)
    if with_item:
        place = folder / survey_id / "runs" / run_key
        written(place, run=run, rasters=(raster_of(georeference=georeference),), formats=["stac"])
    update_collection(root_of(folder), survey_id=survey_id, published_run=lambda: f"runs/{run_key}")


def collection_of(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "collection.json").read_text(encoding="utf-8"))
    return record


def item_ids(folder: Path) -> list[str]:
    pystac.StacIO.set_default(NoNetwork)
    collection = pystac.Collection.from_file(str(folder / "collection.json"))
    return [item.id for item in collection.get_items()]


def shifted(metres_east: float) -> Georeference:
    a, b, c, d, e, f = GEOREFERENCE.transform
    return replace(GEOREFERENCE, transform=(a, b, c + metres_east, d, e, f))


def test_collection_validates_and_leads_to_every_item(tmp_path: Path) -> None:
    publish(tmp_path, "bridge-7")
    publish(tmp_path, "arch")
    validate(tmp_path / "collection.json")
    assert item_ids(tmp_path) == ["arch-a1", "bridge-7-a1"]


def test_items_lead_back_to_it_and_all_may_be_moved(tmp_path: Path) -> None:
    publish(tmp_path / "old", "bridge-7")
    shutil.move(tmp_path / "old", tmp_path / "new")
    item = pystac.Item.from_file(str(tmp_path / "new/bridge-7/runs/a1/stac/item.json"))
    parent = item.get_collection()
    assert parent is not None
    assert [one.id for one in parent.get_items()] == [item.id]


@pytest.mark.parametrize("survey_id", ["Brücke 7", "橋 (север)", "a&b=c+d", "it's"])
def test_survey_of_any_name_is_reached(survey_id: str, tmp_path: Path) -> None:
    publish(tmp_path, survey_id)
    validate(tmp_path / "collection.json")
    assert len(item_ids(tmp_path)) == 1


def test_characters_that_end_a_path_are_encoded(tmp_path: Path) -> None:
    publish(tmp_path, "100%#1?")
    assert collection_of(tmp_path)["links"][0]["href"] == "./100%25%231%3F/runs/a1/stac/item.json"


def test_survey_published_again_has_one_link_to_its_newest_run(tmp_path: Path) -> None:
    publish(tmp_path, "bridge-7", run_key="a1")
    publish(tmp_path, "bridge-7", run_key="b2", georeference=shifted(100))
    assert item_ids(tmp_path) == ["bridge-7-b2"]
    west = collection_of(tmp_path)["extent"]["spatial"]["bbox"][0][0]
    assert west > 8.537, "and the extent is no longer that of the older run"


def test_run_without_an_item_takes_the_link_away(tmp_path: Path) -> None:
    publish(tmp_path, "bridge-7", run_key="b2", with_item=False)
    assert not (tmp_path / "collection.json").exists()
    publish(tmp_path, "bridge-7")
    publish(tmp_path, "bridge-7", run_key="b2", with_item=False)
    assert collection_of(tmp_path)["links"] == []
    validate(tmp_path / "collection.json")


def test_extents_are_those_of_the_items(tmp_path: Path) -> None:
    publish(tmp_path, "a", captured_at="2025-05-04")
    publish(tmp_path, "b", captured_at="2024-01-01T12:00:00Z", georeference=shifted(1000))
    publish(tmp_path, "c", captured_at=None, georeference=LOCAL)
    extent = collection_of(tmp_path)["extent"]
    west, _, east, _ = extent["spatial"]["bbox"][0]
    assert (west, east) == (pytest.approx(8.536133, abs=1e-6), pytest.approx(8.54944, abs=1e-4))
    assert extent["temporal"]["interval"] == [["2024-01-01T12:00:00Z", "2025-05-04T23:59:59Z"]]


def test_surveys_without_place_and_date_leave_the_extents_open(tmp_path: Path) -> None:
    publish(tmp_path, "c", captured_at=None, georeference=LOCAL)
    validate(tmp_path / "collection.json")
    extent = collection_of(tmp_path)["extent"]
    assert extent["spatial"]["bbox"] == [[-180, -90, 180, 90]]
    assert extent["temporal"]["interval"] == [[None, None]]


@pytest.mark.parametrize(
    ("boxes", "around"),
    [
        ([[1, 2, 3, 4], [0, 3, 2, 5]], [0, 2, 3, 5]),
        ([[179, 0, -179, 1], [175, 0, 176, 1]], [175, 0, -179, 1]),
        ([[179, 0, -179, 1], [-178, 0, -177, 1]], [179, 0, -177, 1]),
        ([[179, 0, -179, 1], [-1, 0, 1, 1]], [-180, 0, 180, 1]),
    ],
    ids=["plain", "west-of-the-antimeridian", "east-of-it", "around-greenwich-too"],
)
def test_box_around_boxes(boxes: list[list[float]], around: list[float]) -> None:
    links = [{"spanscan:survey_id": str(n), "spanscan:bbox": box} for n, box in enumerate(boxes)]
    assert collection_record(links)["extent"]["spatial"]["bbox"] == [around]


def test_no_survey_is_lost_where_many_publish_at_once(tmp_path: Path) -> None:
    names = [f"survey-{number:02}" for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: publish(tmp_path, name), names))
    assert item_ids(tmp_path) == [f"{name}-a1" for name in names]


def test_of_two_runs_at_once_the_one_pointed_at_stays(tmp_path: Path) -> None:
    for run_key in ("b2", "a1"):
        publish(tmp_path, "bridge-7", run_key=run_key)
    pointer = ["runs/a1"]

    def overtaken() -> str:
        found = pointer[0]
        if found == "runs/a1":
            pointer[0] = "runs/b2"
            update_collection(root_of(tmp_path), survey_id="bridge-7", published_run=lambda: "runs/b2")
        return found

    update_collection(root_of(tmp_path), survey_id="bridge-7", published_run=overtaken)
    assert item_ids(tmp_path) == ["bridge-7-b2"]


@pytest.mark.parametrize("content", ["{", "[]", '{"id": "mine", "links": []}', '{"id": "spanscan-surveys"}'])
def test_file_of_somebody_else_is_left_as_it_is(content: str, tmp_path: Path) -> None:
    (tmp_path / "collection.json").write_text(content)
    with pytest.raises(RunFailed, match="E_COLLECTION"):
        publish(tmp_path, "bridge-7")
    assert (tmp_path / "collection.json").read_text() == content


def test_no_survey_is_lost_in_a_bucket(s3_server: EmbeddedS3) -> None:
    s3_client(endpoint_url=s3_server.endpoint_url, region=None).create_bucket(Bucket="collection")
    root = open_storage("s3://collection/results", endpoint_url=s3_server.endpoint_url, region=None)
    names = [f"survey-{number}" for number in range(8)]
    item = {"properties": {"title": "x", "datetime": "2025-05-04T10:30:00Z"}, "bbox": [1, 2, 3, 4]}

    def update(name: str) -> None:
        root.write(f"{name}/runs/a1/stac/item.json", json.dumps(item).encode(), content_type="application/json")
        update_collection(root, survey_id=name, published_run=lambda: "runs/a1")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(update, names))
    links = json.loads(root.read("collection.json"))["links"]
    assert [link["href"] for link in links] == [f"./{name}/runs/a1/stac/item.json" for name in names]
