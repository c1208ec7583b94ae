"""What the report says of its own method and limits: sentences that stand beside every figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from segmentation.records import Grade, LimitComparison, RunIdentity, StructureResult
from tasks.report.origin import confidence_meaning, looked_for, no_claim, origin_paragraphs
from tasks.report.places import FootprintFrame, StructureFrame
from tasks.report.severity import unseen_reason
from tasks.report.wording import area_text, clean_text, limit_text, number_text, position_text, with_unit

DISCLAIMER: Final = (
    "Grades are indicative. Verify them against the licensed text of the standard; an engineer decides and signs."
)
OVERLAP_RULE: Final = (
    "Where rasters overlap, each place of the structure belongs to one raster and is measured and counted there alone: "
    "the one with the finer GSD; among equals (within 5 %) the one in which the place lies farther from the edge of "
    "its data. Nothing is counted twice."
)
UNCERTAINTY_RULE: Final = (
    "Each crack's largest width carries a ± (about 95 %; smaller for its mean). Measured by profiles across the crack "
    "it is twice the root of the sum of the squares of the sampling (0.05 pixel), three quarters of the noise of a "
    "single width, and the spread of the width over all blurs of the picture and darknesses of the crack that this "
    "crack and the widest ones of its raster leave possible. Measured between the edges of the mask it is twice the "
    "root of the squares of 0.35 pixel and of the scatter, and at least a quarter of the width. It does not cover a "
    "wrong GSD or a missed crack. Over all cracks of a structure the largest ± is stated."
)
COLOURS: Final = (
    "Colours follow the words: CS1 to CS3, low to high, or the rust grade Ri (0 and 1, 2 and 3, 4, 5). The colour of a "
    "rust grade is this report's own order; no standard gives one. Cracks too thin to be measured are not graded."
)
_GLOSSARY: Final[tuple[tuple[str, str], ...]] = (
    ("GSD", "Ground sampling distance: the size of one pixel on the structure."),
    ("Coverage", "The share of the footprint that was inspected. Nothing is said of the rest."),
    ("Along, across", "Metres on the structure, from the corner that “Method and limits” names."),
    ("Crack length", "Length along the centre lines of the crack, branches and bridged gaps included."),
    ("Crack pattern", "Parallel, map (a net without direction) or isolated; a rule of this report's own."),
    ("Crack width", "Distance between the crack's edges, across its direction, with its ±."),
    ("< X mm", "The crack is seen, but thinner than the pictures can measure: X is the limit, not the width."),
    ("Rust percentage", "Rusted area divided by the inspected area named beside it."),
    ("Condition state", "CS1 good, CS2 fair, CS3 poor, CS4 severe: the step a standard gives to a quantity of damage."),
    ("Mask", "The picture in which each pixel says: background, crack, rust, no data, or not inspected."),
    ("Run key", "Name of the run, made from its inputs, its model and its settings: same key, same result."),
)


def glossary(run: RunIdentity) -> tuple[tuple[str, str], ...]:
    """The words of a report and what they mean in this run."""
    return (*_GLOSSARY, ("Confidence", confidence_meaning(run)))


@dataclass(frozen=True, slots=True)
class Threshold:
    """A rule of grading with its source."""

    standard: str
    limits: str
    """The limits with their unit."""
    rule: str
    source: str


def resolvable_width_mm(result: StructureResult, run: RunIdentity) -> float | None:
    """The least crack width that this survey carries on this structure, in mm; None where nothing says it.

    The largest limit among the structure's cracks, else GSD × the run's ``min_crack_width_px``.
    """
    limits = [defect.crack.resolvable_width_mm for defect in result.defects if defect.crack is not None]
    if limits:
        return max(limits)
    least_px = run.settings.get("min_crack_width_px")
    if isinstance(least_px, int | float) and not isinstance(least_px, bool) and result.gsd_mm is not None:
        return float(least_px) * result.gsd_mm
    return None


def not_inspected_sentences(result: StructureResult, run: RunIdentity) -> tuple[str, ...]:
    """What this survey does not tell of the structure: places, classes, sizes and kinds of damage."""
    whole, limit_mm = result.footprint_area_m2, resolvable_width_mm(result, run)
    if unseen_reason(result) is not None:
        return ("All of the structure. No finding of any kind is stated.",)
    sentences = []
    if whole is None:
        sentences.append("How much of the structure was not inspected is not known, because its footprint is not.")
    elif result.coverage_percent < 100:
        missing_m2 = max(0.0, whole - result.inspected_area_m2)
        sentences.append(
            f"{area_text(missing_m2)} of the {area_text(whole)} of the footprint: no usable picture there. Hatched in "
            "the overview."
        )
    for name, word in (("crack", "Cracks"), ("rust", "Rust")):
        if not looked_for(run, name):
            sentences.append(f"{word}: not looked for in the mask that was given.")
    if limit_mm is not None and looked_for(run, "crack"):
        thin = f"Widths of cracks below {limit_text(limit_mm)}: seen at times, never measured."
        sentences.append(thin + " Cracks thinner than a pixel are mostly not seen at all.")
    sentences.append(
        "Surfaces that no raster shows: undersides, inner faces, what lies under water, dirt, vegetation or covers."
    )
    sentences.append("Any other damage: spalling, delamination, deformation, section loss, loose or missing bolts.")
    return tuple(sentences)


def frame_sentence(frames: Sequence[StructureFrame]) -> str:
    """How places on the structure are counted, with the corner from which."""
    of_footprint = next((frame for frame in frames if isinstance(frame, FootprintFrame)), None)
    if of_footprint is None:
        return (
            "Structure coordinates are metres from the lower left corner of the raster that is named beside them, "
            "since no footprint gives them an origin: along to the right, across upwards (pixels times the GSD in the "
            "raster's middle)."
        )
    heading = f"{of_footprint.heading_deg:.0f}°"
    size = f"{number_text(of_footprint.length_m)} × {with_unit(of_footprint.width_m, 'm')}"
    return (
        f"Structure coordinates are metres from the corner {position_text(*of_footprint.origin)} of the smallest "
        f"rectangle around the footprint ({size}): along its longer side, which runs {heading} clockwise from north, "
        "and across, at a right angle to the left of that."
    )


def limits_paragraphs(
    result: StructureResult, run: RunIdentity, *, frames: Sequence[StructureFrame], seam_proof: str | None
) -> tuple[str, ...]:
    """Method and limits at this GSD, a sentence or two each, in the order of reading."""
    if unseen_reason(result) is not None:
        return ("No pixel of this structure was classified, so nothing was measured and nothing graded.", OVERLAP_RULE)
    limit_mm = resolvable_width_mm(result, run)
    paragraphs = [*origin_paragraphs(run)]
    if result.gsd_mm is not None:
        paragraphs.append(
            f"One pixel covers {number_text(result.gsd_mm)} mm of the structure"
            + (
                f"; crack widths below {limit_text(limit_mm)} cannot be measured at this GSD and are stated as "
                f"“<\u00a0{limit_text(limit_mm)}”, and cracks thinner than that may be missed altogether."
                if limit_mm is not None
                else "; the least measurable crack width is stated with each crack."
            )
        )
    paragraphs += [UNCERTAINTY_RULE, frame_sentence(frames), OVERLAP_RULE, no_claim(run)]
    if run.settings:
        settings = ", ".join(f"{name} {value}" for name, value in sorted(run.settings.items()))
        paragraphs.append(clean_text(f"Settings that change the result: {settings}."))
    if seam_proof is not None:
        paragraphs.append(clean_text(seam_proof))
    paragraphs += [COLOURS, DISCLAIMER]
    return tuple(paragraphs)


def thresholds_of(results: Sequence[StructureResult]) -> tuple[Threshold, ...]:
    """The rules of grading that were applied, each once, in the order of their first use."""
    told: list[Grade | LimitComparison] = []
    for one_result in (*results, *(part for result in results for part in result.components)):
        told.extend(one_result.grades)
        told.extend(one_result.limit_comparisons)
    rules = (
        Threshold(
            clean_text(f"{one.standard}, {one.version}: {one.element}"),
            clean_text(one.limits),
            clean_text(one.rule),
            clean_text(one.source),
        )
        for one in told
    )
    return tuple(dict.fromkeys(rules))
