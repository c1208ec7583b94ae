"""From decisions to figures: rejected ones leave the sums, re-classed ones count as what is known of them."""

from dataclasses import dataclass, replace

import pytest

from segmentation.classes import CLASS_NAMES, PixelClass
from segmentation.measurement.grading import load_standards
from segmentation.measurement.summary import summarise
from segmentation.records import Defect, StructureResult
from tasks.report.review import review_section
from tasks.review.decisions import Decision, Verdict
from tasks.review.reviewed import Grading, reviewed_result, structure_review
from tests.tasks.report.samples import RUN, bridge_deck, crack, rust, unseen_pier

GRADING = Grading(load_standards(("aashto-mbei-concrete-cracking", "astm-d610", "iso-4628-3")), 64)


def measured(*defects: Defect, components: tuple[StructureResult, ...] = ()) -> StructureResult:
    """The deck of the samples with these defects, summed as a run does."""
    deck = bridge_deck()
    return summarise(
        deck.structure,
        defects=defects,
        inspected_area_m2=11.0,
        footprint_area_m2=24.0,
        gsd_mm=1.5,
        standards=GRADING.standards,
        min_rust_area_px=64,
        components=components,
    )


def part(*defects: Defect) -> StructureResult:
    """A steel girder that is part of the deck."""
    deck = bridge_deck()
    girder = replace(deck.structure, id="girder", material="steel", kind="girder", component_of="deck", slug="girder")
    return summarise(
        girder,
        defects=[replace(defect, structure_id="girder") for defect in defects],
        inspected_area_m2=7.0,
        footprint_area_m2=7.5,
        gsd_mm=1.3,
        standards=GRADING.standards,
        min_rust_area_px=64,
        kinds="deck girder",
    )


WIDE = crack("C-0001", row=403, col=300, length_px=600, max_width_mm=9.03)
THIN = crack("C-0002", row=1500, col=500, length_px=1400, max_width_mm=4.1, mean_width_mm=2.5)
PATCH = rust("R-0001", row=1200, col=2000, side_px=100)
SMALL = rust("R-0002", row=200, col=2000, side_px=30)


def said(defect: Defect, verdict: Verdict, *, by: str = "Ada", comment: str = "") -> Decision:
    other = PixelClass.RUST if defect.pixel_class is PixelClass.CRACK else PixelClass.CRACK
    final = {"reject": None, "reclass": CLASS_NAMES[other]}.get(verdict, CLASS_NAMES[defect.pixel_class])
    machine = CLASS_NAMES[defect.pixel_class]
    return Decision(defect.id, 1, verdict, machine, final, comment, by, "2026-05-04T10:11:12.000+00:00")


def as_rust(defect: Defect) -> Defect:
    return replace(defect, pixel_class=PixelClass.RUST, crack=None, pixel_geometry=PATCH.pixel_geometry)


def reviewed(machine: StructureResult, *decisions: Decision) -> StructureResult:
    latest = {one.defect_id: one for one in decisions}
    return reviewed_result(machine, latest, grading=GRADING, as_rust=as_rust)


@pytest.mark.parametrize("verdict", ["accept", "reopen"])
def test_what_changes_no_defect_leaves_the_machines_result_as_it_is(verdict: Verdict) -> None:
    machine = measured(WIDE, PATCH)
    assert reviewed(machine, said(WIDE, verdict), said(PATCH, verdict)) is machine


@dataclass(frozen=True)
class Case:
    id: str
    decisions: tuple[Decision, ...]
    left: tuple[Defect, ...]
    """What the same sums must have come from."""


CASES = [
    Case("a-rejected-crack", (said(WIDE, "reject"),), (THIN, PATCH, SMALL)),
    Case("a-rejected-patch", (said(PATCH, "reject"), said(THIN, "accept")), (WIDE, THIN, SMALL)),
    Case("a-patch-that-is-a-crack-counts-nowhere", (said(PATCH, "reclass"),), (WIDE, THIN, SMALL)),
    Case("a-crack-that-is-rust-counts-with-its-area", (said(WIDE, "reclass"),), (as_rust(WIDE), THIN, PATCH, SMALL)),
    Case("all-rejected", tuple(said(d, "reject") for d in (WIDE, THIN, PATCH, SMALL)), ()),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_figures_are_those_of_a_run_that_had_found_what_is_left(case: Case) -> None:
    assert reviewed(measured(WIDE, THIN, PATCH, SMALL), *case.decisions) == measured(*case.left)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_parts_are_summed_again_with_the_whole(case: Case) -> None:
    """WIDE and SMALL lie on the girder, the others beside it."""
    girder = {WIDE.id, SMALL.id}

    def whole(defects: tuple[Defect, ...]) -> StructureResult:
        own = [defect for defect in defects if defect.id not in girder]
        return measured(*own, components=(part(*(defect for defect in defects if defect.id in girder)),))

    got, must = reviewed(whole((WIDE, THIN, PATCH, SMALL)), *case.decisions), whole(case.left)
    assert got.cracks == must.cracks
    assert got.rust.area_m2 == must.rust.area_m2
    assert got.inspected_area_m2 == pytest.approx(must.inspected_area_m2, rel=1e-12)
    assert got.gsd_mm == pytest.approx(must.gsd_mm, rel=1e-12)
    assert [(g.standard, g.grade) for g in got.grades] == [(g.standard, g.grade) for g in must.grades]
    assert got.components == must.components


def test_nothing_is_said_of_what_was_not_inspected() -> None:
    pier = unseen_pier()
    assert reviewed(pier) is pier
    section = review_section(pier, structure_review(pier, {}, revision=1, issued_at="2026-05-04T00:00:00+00:00"), RUN)
    assert "nothing to review" in section.sentence
    assert section.pairs == ()


def test_the_report_names_reviewer_date_and_counts_and_states_both_figures() -> None:
    machine = measured(WIDE, THIN, PATCH, SMALL)
    decisions = (
        said(WIDE, "reject", by="Ada", comment="joint"),
        said(THIN, "accept", by="Ben"),
        said(PATCH, "reclass"),
    )
    latest = {one.defect_id: one for one in decisions}
    review = structure_review(machine, latest, revision=3, issued_at="2026-05-05T00:00:00+00:00")
    section = review_section(reviewed(machine, *decisions), review, RUN)
    assert section.sentence == (
        "Reviewed by Ada, Ben, issued on 2026-05-05. Of 4 defects: 1 accepted, 1 rejected, 1 re-classed, "
        "1 not looked at."
    )
    figures = {pair.label: (pair.machine, pair.reviewed) for pair in section.pairs}
    assert figures["Cracks"] == ("2 cracks", "1 crack")
    assert figures["Crack length"] == ("3.00\u00a0m", "2.10\u00a0m")
    assert figures["Rust"] == ("2 patches", "1 patch")
    rows = {row.id: (row.verdict, row.reviewer, row.comment) for row in section.rows}
    assert rows == {"C-0001": ("rejected", "Ada", "joint"), "R-0001": ("re-classed as crack, not measured", "Ada", "")}
    notes = " ".join(section.notes)
    assert "WITHOUT them and may be too good" in notes
    assert "1 defect (20.2\u00a0cm² of rust) were not looked at: in the reviewed figures they stand" in notes
