"""A person's review of one structure as its report states it: the machine's figures beside the reviewed ones."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from segmentation.classes import CLASS_NAMES, PixelClass
from segmentation.records import Defect, RunIdentity, StructureResult
from tasks.report.findings import Fact, grade_rows, key_facts
from tasks.report.severity import unseen_reason
from tasks.report.wording import area_text, clean_text, count_text, with_unit

_MOST_ROWS: Final = 400
_WORDS: Final = {"accept": "accepted", "reject": "rejected", "reclass": "re-classed"}
_ABSENT: Final = "–"
_NOT_COMPARED: Final = ("Footprint", "Inspected", "Coverage", "Not inspected")
"""Facts that no review changes."""
BASIS: Final = (
    "The reviewed figures and grades are computed from the defects that were accepted or not yet looked at; rejected "
    "ones are left out. Lengths, widths and areas are the machine's own measurements: nothing was measured anew."
)


@dataclass(frozen=True, slots=True)
class DecidedDefect:
    """One defect with the decision that stands."""

    defect: Defect
    """As the machine found it."""
    verdict: str
    """accept, reject or reclass."""
    final_class: PixelClass | None
    """None where it was rejected."""
    reviewer: str
    decided_at: str
    """ISO 8601, UTC."""
    comment: str
    decisions: int
    """How many decisions were made on it, this one included."""

    @property
    def is_unmeasured(self) -> bool:
        """Whether it was re-classed as a crack, whose length and width nobody measured."""
        return self.verdict == "reclass" and self.final_class is PixelClass.CRACK


@dataclass(frozen=True, slots=True)
class StructureReview:
    """What was decided on one structure, and what the machine had said of it."""

    revision: int
    """Number of the report's revision, from 1."""
    issued_at: str
    """ISO 8601, UTC."""
    machine: StructureResult
    """As the run was published."""
    decided: tuple[DecidedDefect, ...]
    """In the order of the machine's report."""

    @property
    def reviewers(self) -> dict[str, int]:
        """Decisions that stand, by reviewer, most first."""
        return dict(Counter(one.reviewer for one in self.decided).most_common())

    @property
    def undecided(self) -> tuple[Defect, ...]:
        """Defects that nobody decided on."""
        known = {one.defect.id for one in self.decided}
        return tuple(defect for defect in self.machine.defects if defect.id not in known)

    def counts(self) -> dict[str, int]:
        """Defects of the machine by what was decided."""
        by = Counter(one.verdict for one in self.decided)
        return {
            "defects": len(self.machine.defects),
            "accepted": by["accept"],
            "rejected": by["reject"],
            "reclassed": by["reclass"],
            "not_looked_at": len(self.undecided),
        }


@dataclass(frozen=True, slots=True)
class FigurePair:
    """One figure as the machine has it, and after the review."""

    label: str
    machine: str
    reviewed: str

    @property
    def differs(self) -> bool:
        """Whether the review changed it."""
        return self.machine != self.reviewed


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """A defect that was rejected, re-classed or commented on."""

    id: str
    kind: str
    """What the machine called it."""
    size: str
    verdict: str
    reviewer: str
    decided_at: str
    comment: str


@dataclass(frozen=True, slots=True)
class ReviewSection:
    """The review in words, before any layout."""

    sentence: str
    facts: tuple[Fact, ...]
    """For the title block."""
    notes: tuple[str, ...]
    """What the reader must know of the reviewed figures."""
    pairs: tuple[FigurePair, ...]
    rows: tuple[DecisionRow, ...]
    """All decisions but plain acceptances."""
    rows_left_out: int


def review_section(result: StructureResult, review: StructureReview, run: RunIdentity) -> ReviewSection:
    """The review of a structure in words; `result` is the reviewed one."""
    rows = [_row(one) for one in review.decided if one.verdict != "accept" or one.comment]
    return ReviewSection(
        sentence=_sentence(review),
        facts=(Fact("Revision", str(review.revision)), Fact("Reviewed by", _people(review) or "nobody yet")),
        notes=tuple(_notes(review)),
        pairs=_pairs(result, review.machine, run),
        rows=tuple(rows[:_MOST_ROWS]),
        rows_left_out=max(0, len(rows) - _MOST_ROWS),
    )


def review_json(review: StructureReview, machine: Mapping[str, Any]) -> dict[str, Any]:
    """The review as JSON data; `machine` holds the machine's own cracks, rust, grades and comparisons as data."""
    return {
        "revision": review.revision,
        "issued_at": review.issued_at,
        "reviewers": [{"name": name, "decisions": count} for name, count in review.reviewers.items()],
        "counts": review.counts(),
        "basis": BASIS,
        "not_measured_anew": [one.defect.id for one in review.decided if one.is_unmeasured],
        "decisions": [
            {
                "defect_id": one.defect.id,
                "verdict": one.verdict,
                "machine_class": CLASS_NAMES[one.defect.pixel_class],
                "class": None if one.final_class is None else CLASS_NAMES[one.final_class],
                "reviewer": one.reviewer,
                "decided_at": one.decided_at,
                "comment": one.comment,
                "decisions": one.decisions,
            }
            for one in review.decided
        ],
        "machine": dict(machine),
    }


def _sentence(review: StructureReview) -> str:
    counts, people = review.counts(), _people(review)
    day = review.issued_at[:10]
    if unseen_reason(review.machine) is not None:
        return f"Nothing was inspected here, so there was nothing to review. Issued anew on {day}."
    if not review.machine.defects:
        return f"The machine found no defect here, so there was nothing to decide. Issued anew on {day}."
    if not review.decided:
        return f"Nobody has looked at the {counts['defects']} defects of this structure. Issued anew on {day}."
    said = [f"{counts[key]} {word}" for key, word in _COUNTED if counts[key]]
    return f"Reviewed by {people}, issued on {day}. Of {count_text(counts['defects'], 'defect', 'defects')}: " + (
        f"{', '.join(said)}."
    )


_COUNTED: Final = (
    ("accepted", "accepted"),
    ("rejected", "rejected"),
    ("reclassed", "re-classed"),
    ("not_looked_at", "not looked at"),
)


def _people(review: StructureReview) -> str:
    names = [clean_text(name, most_chars=100) for name in review.reviewers]
    shown = names[:4]
    return ", ".join(shown) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _notes(review: StructureReview) -> Sequence[str]:
    notes = [BASIS] if review.machine.defects else []
    if review.undecided and review.decided:
        notes.append(
            f"{_amounts(review.undecided)} were not looked at: in the reviewed figures they stand as the machine "
            "found them."
        )
    to_rust = [o.defect for o in review.decided if o.verdict == "reclass" and o.final_class is PixelClass.RUST]
    if to_rust:
        area = area_text(sum(defect.area_m2 for defect in to_rust))
        notes.append(
            f"{count_text(len(to_rust), 'crack', 'cracks')} re-classed as rust: counted as rust with the area of the "
            f"marked pixels, {area}; the length and width that were measured are dropped."
        )
    to_crack = [one.defect for one in review.decided if one.is_unmeasured]
    if to_crack:
        area = area_text(sum(defect.area_m2 for defect in to_crack))
        notes.append(
            f"{count_text(len(to_crack), 'rust patch', 'rust patches')} re-classed as crack ({area}), not measured "
            "anew: the length and width are not known, so the reviewed crack figures and grades are WITHOUT them and "
            "may be too good."
        )
    return notes


def _amounts(defects: Sequence[Defect]) -> str:
    parts = [count_text(len(defects), "defect", "defects")]
    length_m = sum(defect.crack.length_m for defect in defects if defect.crack is not None)
    rust_m2 = sum(defect.area_m2 for defect in defects if defect.pixel_class is PixelClass.RUST)
    amounts = [f"{with_unit(length_m, 'm')} of cracks"] if length_m else []
    amounts += [f"{area_text(rust_m2)} of rust"] if rust_m2 else []
    return parts[0] + (f" ({', '.join(amounts)})" if amounts else "")


def _pairs(result: StructureResult, machine: StructureResult, run: RunIdentity) -> tuple[FigurePair, ...]:
    if unseen_reason(machine) is not None:
        return ()
    before, after = _figures(machine, run), _figures(result, run)
    labels = [*before, *(label for label in after if label not in before)]
    return tuple(FigurePair(label, before.get(label, _ABSENT), after.get(label, _ABSENT)) for label in labels)


def _figures(result: StructureResult, run: RunIdentity) -> dict[str, str]:
    figures = {fact.label: fact.value for fact in key_facts(result, run) if fact.label not in _NOT_COMPARED}
    for row in grade_rows(result):
        label = f"{row.standard}, {row.element}" if row.element else row.standard
        figures[label] = row.grade
    return figures


def _row(one: DecidedDefect) -> DecisionRow:
    defect = one.defect
    size = with_unit(defect.crack.length_m, "m") if defect.crack is not None else area_text(defect.area_m2)
    verdict = _WORDS[one.verdict]
    if one.verdict == "reclass" and one.final_class is not None:
        verdict += f" as {CLASS_NAMES[one.final_class]}" + (", not measured" if one.is_unmeasured else "")
    return DecisionRow(
        id=clean_text(defect.id),
        kind=CLASS_NAMES[defect.pixel_class],
        size=size,
        verdict=verdict,
        reviewer=clean_text(one.reviewer, most_chars=100),
        decided_at=f"{one.decided_at[:10]} {one.decided_at[11:16]} UTC",
        comment=clean_text(one.comment),
    )
