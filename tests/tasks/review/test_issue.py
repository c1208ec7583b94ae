"""The report issued anew: an immutable revision with both figures, the machine's own report untouched."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from segmentation.errors import UsageError
from tasks.report.record import report_schema
from tasks.review.decisions import DecisionLog, Verdict
from tasks.review.issue import Revision, issue_revision, published_revision
from tests.tasks.review.runs import Reviewed
from tests.tasks.runs import files_of

HOSTILE = "Ada </script><img src=x onerror=alert(1)>"


def decide(log: DecisionLog, reviewed: Reviewed, verdicts: dict[str, Verdict]) -> None:
    for defect_id, verdict in verdicts.items():
        saw = len(log.history(defect_id))
        log.decide(defect_id, verdict, comment="<b>looked</b>", reviewer=HOSTILE, saw=saw)


def issue(reviewed: Reviewed) -> Revision:
    return issue_revision(
        reviewed.place,
        reviewed.kept,
        reviewed.log(),
        staging_dir=reviewed.staging,
        workers=1,
        on_structure=lambda done, of: None,
    )


def report(revision: Revision, name: str) -> dict[str, Any]:
    paths = sorted(Path(revision.uri).glob("structures/*/report.json"))
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    found: dict[str, Any] = next(one for one in reports if one["structure"]["id"] == name)
    return found


def run_files(reviewed: Reviewed) -> dict[str, bytes]:
    return files_of(Path(reviewed.place.run.uri("")))


@pytest.mark.slow
def test_a_revision_states_both_figures_and_the_run_stays_as_it_is(reviewed: Reviewed) -> None:
    before = run_files(reviewed)
    cracks = [one for one in reviewed.defects if one.crack is not None and one.structure_id == "deck"]
    patches = [one for one in reviewed.defects if one.crack is None and one.structure_id == "panel"]
    verdicts: dict[str, Verdict] = {cracks[0].id: "reject", patches[0].id: "reclass", patches[1].id: "accept"}
    verdicts[cracks[1].id] = "reclass"
    decide(reviewed.log(), reviewed, verdicts)
    revision = issue(reviewed)
    assert (revision.number, revision.decisions, revision.defects) == (1, 4, len(reviewed.defects))
    assert run_files(reviewed) == before

    deck, panel = report(revision, "deck"), report(revision, "panel")
    for one in (deck, panel):
        assert [error.message for error in Draft202012Validator(report_schema()).iter_errors(one)] == []
    machine = {one.structure.id: one for one in reviewed.kept.structures}
    assert deck["review"]["machine"]["cracks"]["count"] == machine["deck"].cracks.count
    assert deck["cracks"]["count"] == machine["deck"].cracks.count - 2
    assert deck["rust"]["patch_count"] == machine["deck"].rust.patch_count + 1
    taken = sum(one.crack.length_m for one in cracks[:2] if one.crack is not None)
    assert deck["cracks"]["total_length_m"] == pytest.approx(machine["deck"].cracks.total_length_m - taken, rel=1e-5)
    assert deck["rust"]["area_m2"] == pytest.approx(machine["deck"].rust.area_m2 + cracks[1].area_m2, rel=1e-5)
    assert panel["review"]["not_measured_anew"] == [patches[0].id]
    assert panel["rust"]["area_m2"] == pytest.approx(patches[1].area_m2, rel=1e-5)
    assert panel["grades"] != panel["review"]["machine"]["grades"]
    assert panel["review"]["reviewers"] == [{"name": HOSTILE, "decisions": 2}]

    slug = machine["panel"].structure.slug
    html = (Path(revision.uri) / f"structures/{slug}/report.html").read_text(encoding="utf-8")
    assert "Reviewed by" in html
    assert "not measured anew" in html
    assert "<img src=x" not in html
    assert "<b>looked" not in html
    index = (Path(revision.uri) / "index.html").read_text(encoding="utf-8")
    assert "Revision 1, issued on" in index
    machine_index = f"../../../../runs/{reviewed.place.run_key}/index.html"
    assert machine_index in index
    assert (Path(revision.uri) / machine_index).resolve().is_file()


@pytest.mark.slow
def test_a_later_revision_leaves_the_earlier_as_it_was_and_the_pointer_names_the_last(reviewed: Reviewed) -> None:
    first = issue(reviewed)
    before = files_of(Path(first.uri))
    decide(reviewed.log(), reviewed, {reviewed.defects[0].id: "reject"})
    second = issue(reviewed)
    assert (first.number, second.number, first.decisions, second.decisions) == (1, 2, 0, 1)
    assert files_of(Path(first.uri)) == before
    published = published_revision(reviewed.place.review, endpoint_url=None, region=None)
    assert published is not None
    manifest = json.loads(published.read("manifest.json"))
    assert manifest["number"] == 2
    written = files_of(Path(second.uri))
    assert set(manifest["outputs_sha256"]) == set(written) - {"manifest.json", "claim.json"}
    record = json.loads(written["review.json"])
    assert [one["defect_id"] for one in record["decisions"]] == [reviewed.defects[0].id]


@pytest.mark.slow
def test_two_who_issue_at_once_get_a_revision_each(reviewed: Reviewed) -> None:
    with ThreadPoolExecutor(2) as pool:
        revisions = list(pool.map(lambda _: issue(reviewed), range(2)))
    assert sorted(one.number for one in revisions) == [1, 2]
    pointer = json.loads(reviewed.place.review.read("latest.json"))
    assert pointer["revision"] == 2


@pytest.mark.slow
def test_a_raster_that_is_gone_is_told_and_the_mask_shown(reviewed: Reviewed) -> None:
    rasters = tuple(
        replace(one, source=replace(one.source, uri="/nowhere/deck.tif")) for one in reviewed.kept.of.rasters
    )
    kept = replace(reviewed.kept, of=replace(reviewed.kept.of, rasters=rasters))
    revision = issue(replace(reviewed, kept=kept))
    warnings = report(revision, "deck")["run"]["warnings"]
    assert any("no longer there" in one for one in warnings)


@pytest.mark.slow
def test_a_grading_table_that_was_changed_since_is_refused(reviewed: Reviewed, tmp_path: Path) -> None:
    table = tmp_path / "own.yaml"
    table.write_text("id: own")
    measure = replace(reviewed.kept.of.measure, standards=(str(table),))
    kept = replace(reviewed.kept, of=replace(reviewed.kept.of, measure=measure, standards=("0" * 64,)))
    with pytest.raises(UsageError, match="E_STANDARD"):
        issue(replace(reviewed, kept=kept))
    assert not Path(reviewed.place.review.uri("")).exists()
