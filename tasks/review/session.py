"""One sitting: a run, its defects in words, its decisions, and what may be done with them."""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

from segmentation.classes import CLASS_NAMES, PixelClass
from segmentation.errors import InputRejected
from segmentation.records import Defect, StructureResult
from tasks.publish import MANIFEST, POINTER
from tasks.report.findings import DefectRow, defect_detail, defect_row
from tasks.report.places import Place, frames_of, places_of
from tasks.report.severity import unseen_reason, worst_severity
from tasks.report.wording import area_text, clean_text, with_unit
from tasks.review.decisions import Decision, DecisionLog, Verdict, looked_at
from tasks.review.issue import Revision, issue_revision, run_place_of
from tasks.review.kept_results import read_kept_results
from tasks.review.pictures import DefectPictures, ReviewPictures
from tasks.review.place import ReviewPlace
from tasks.storage import Storage

log = logging.getLogger("spanscan.review")

_PICTURE_OF_MASK: Final = "The raster is no longer there ({}): the mask that the run keeps is shown in its place."


@dataclass(frozen=True, slots=True)
class _Listed:
    defect: Defect
    row: DefectRow
    place: Place
    structure: int


class ReviewSession:
    """What the page shows and does; safe to share between threads."""

    def __init__(self, place: ReviewPlace, *, staging_dir: Path, workers: int) -> None:
        self.place = place
        self._kept = read_kept_results(place.run)
        self._staging_dir = staging_dir
        self._workers = workers
        seen = [one for one in self._kept.structures if unseen_reason(one) is None and one.defects]
        self._structures = sorted(seen, key=lambda one: -worst_severity(one).rank)
        self._georeferences = {raster.name: raster.georeference for raster in self._kept.of.rasters}
        self._listed = {one.defect.id: one for number, of in enumerate(self._structures)
                        for one in self._in_words(number, of)}  # fmt: skip
        defects = [one.defect for one in self._listed.values()]
        self.log = DecisionLog(place.review, run_key=place.run_key, classes={d.id: d.pixel_class for d in defects})
        self._pictures = ReviewPictures(self._kept.of.rasters, run_place_of(place, staging_dir), defects)
        self._issuing = Lock()

    def overview(self) -> dict[str, Any]:
        """Everything that the list shows: structures, defects worst first, decisions that stand, progress."""
        return {
            "survey": clean_text(self.place.survey_id),
            "run_key": self.place.run_key,
            "captured_at": clean_text(self._kept.of.run.captured_at or ""),
            "structures": [clean_text(one.structure.name) or clean_text(one.structure.id) for one in self._structures],
            "defects": [_summary(one) for one in self._listed.values()],
            "revision": self.revision_number(),
            **self.decisions(),
        }

    def decisions(self) -> dict[str, Any]:
        """The decisions that stand, by defect, with those that others made since, and how many were looked at."""
        self.log.refresh()
        latest = self.log.latest()
        return {
            "decisions": {defect_id: _told(decision) for defect_id, decision in latest.items()},
            "made": len(self.log.all()),
            "looked_at": looked_at(latest.values()),
            "all": len(self._listed),
        }

    def detail(self, defect_id: str) -> dict[str, Any]:
        """One defect in full, with every decision on it; raises InputRejected E_DECISION for an unknown one."""
        one = self._one(defect_id)
        defect, pictures = one.defect, self._pictures.of(one.defect)
        georeference = self._georeferences[defect.raster_name]
        detail = defect_detail(one.row, defect, one.place, georeference)
        facts = [*detail.measurements, *detail.location]
        gone = self._pictures.gone.get(defect.raster_name)
        self.log.refresh(defect_id)
        return {
            **_summary(one),
            "headline": detail.headline,
            "facts": [[fact.label, fact.value] for fact in facts],
            "caption": _caption(defect, pictures),
            "note": "" if gone is None else _PICTURE_OF_MASK.format(clean_text(gone)),
            "width_px": pictures.plain.width_px,
            "height_px": pictures.plain.height_px,
            "history": [_told(decision) for decision in self.log.history(defect_id)],
        }

    def picture(self, defect_id: str, *, outlined: bool) -> bytes:
        """A picture of a defect as a JPEG file; raises as `detail`."""
        pictures = self._pictures.of(self._one(defect_id).defect)
        return (pictures.outlined if outlined else pictures.plain).jpeg

    def decide(self, defect_id: str, verdict: Verdict, *, comment: str, reviewer: str, saw: int) -> dict[str, Any]:
        """See `DecisionLog.decide`; the decision in words."""
        return _told(self.log.decide(defect_id, verdict, comment=comment, reviewer=reviewer, saw=saw))

    def issue(self) -> Revision:
        """Issue the report anew; one at a time."""
        with self._issuing:
            return issue_revision(
                self.place,
                self._kept,
                self.log,
                staging_dir=self._staging_dir,
                workers=self._workers,
                on_structure=_tell,
            )

    def revision_number(self) -> int | None:
        """Number of the revision that is published; None before the first."""
        review = self.place.review
        return int(json.loads(review.read(POINTER))["revision"]) if review.exists(POINTER) else None

    def issued_file(self, revision: int, key: str) -> bytes:
        """A file of a revision; raises InputRejected E_NOT_FOUND for what its manifest does not list."""
        return _listed_file(self.place.review.child(f"revisions/{revision}"), key)

    def run_file(self, key: str) -> bytes:
        """A file of the run as the machine published it; raises as `issued_file`."""
        return _listed_file(self.place.run, key)

    def _one(self, defect_id: str) -> _Listed:
        if defect_id not in self._listed:
            cause = "a defect must be one of this run, got none of that id"
            raise InputRejected("E_DECISION", clean_text(defect_id, most_chars=40), cause, "reload the page")
        return self._listed[defect_id]

    def _in_words(self, number: int, result: StructureResult) -> list[_Listed]:
        frames = frames_of(result.structure, self._georeferences)
        places = places_of(result.defects, self._georeferences, frames)
        return [
            _Listed(defect, defect_row(nth, defect, place), place, number)
            for nth, (defect, place) in enumerate(zip(result.defects, places, strict=True), start=1)
        ]


def _tell(done: int, of: int) -> None:
    log.info("report: %d of %d structures", done, of)


def _summary(one: _Listed) -> dict[str, Any]:
    row, defect = one.row, one.defect
    other = PixelClass.RUST if defect.pixel_class is PixelClass.CRACK else PixelClass.CRACK
    size = area_text(defect.area_m2)
    if defect.crack is not None:
        size = f"{with_unit(defect.crack.length_m, 'm')}, {row.max_width}"
    return {
        "id": defect.id,
        "class": row.kind,
        "other": CLASS_NAMES[other],
        "structure": one.structure,
        "number": row.number,
        "state": row.severity.word,
        "css": row.severity.css,
        "size": size,
    }


def _told(decision: Decision) -> dict[str, Any]:
    shown = {"comment": clean_text(decision.comment), "reviewer": clean_text(decision.reviewer)}
    return {**asdict(decision), **shown, "stands": decision.stands}


def _caption(defect: Defect, pictures: DefectPictures) -> str:
    factor = pictures.plain.enlargement
    size = "Native resolution" if factor == 1 else f"Native pixels, enlarged {factor}×"
    centre = "around its widest point" if defect.crack is not None else "of it"
    return f"{size}." + ("" if pictures.whole else f" This is the part {centre}.")


def _listed_file(storage: Storage, key: str) -> bytes:
    manifest = json.loads(storage.read(MANIFEST))
    if key not in manifest["outputs_sha256"]:
        raise InputRejected("E_NOT_FOUND", clean_text(key, most_chars=80), "the manifest must list it", "reload")
    return storage.read(key)
