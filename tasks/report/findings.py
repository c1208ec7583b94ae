"""The document model of one structure: every fact of a report in words, before any layout.

HTML and any later format are rendered from these records, so that they cannot state different figures.
"""

from dataclasses import dataclass
from typing import Final

from segmentation.classes import CLASS_NAMES
from segmentation.georeference import Georeference
from segmentation.records import CrackMeasure, CrackSummary, Defect, RunIdentity, StructureResult
from tasks.report.charts import ProfileChart, profile_chart
from tasks.report.method import resolvable_width_mm
from tasks.report.origin import NOT_LOOKED_FOR, looked_for
from tasks.report.places import Place
from tasks.report.severity import Severity, grade_words, severity_of, unseen_reason
from tasks.report.wording import (
    NOT_MEASURED,
    area_text,
    below_text,
    clean_text,
    count_text,
    coverage_text,
    limit_text,
    number_text,
    position_text,
    share_text,
    structure_position_text,
    width_text,
    with_unit,
)

_UNITS: Final = {"m2": "m²"}


@dataclass(frozen=True, slots=True)
class Fact:
    """A label and what it says."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class GradeRow:
    """One standard's word as a table row."""

    standard: str
    element: str
    quantities: tuple[str, ...]
    """In the order of the table's states; a dash where the standard has none."""
    unit: str
    grade: str
    """The grade's own name."""
    remarks: str
    """What limits it."""
    severity: Severity


@dataclass(frozen=True, slots=True)
class DefectRow:
    """One defect in words."""

    number: int
    """Its number in this report, worst first, from 1."""
    anchor: str
    """Id of its heading, where it has one."""
    id: str
    kind: str
    """crack or rust."""
    severity: Severity
    length: str
    """In metres, a dash for rust."""
    max_width: str
    """With ± or "<", a dash for rust."""
    mean_width: str
    area: str
    confidence: str
    along: str
    """Place on the structure: metres along and across it."""
    position: str
    """WGS 84, or that there is none."""
    pixel: str
    """Raster, row and column."""
    sheet: str = ""
    """Letter of the overview's sheet that shows it; empty where the overview has no sheets."""


@dataclass(frozen=True, slots=True)
class DefectDetail:
    """One of the worst defects, in full."""

    row: DefectRow
    headline: str
    measurements: tuple[Fact, ...]
    location: tuple[Fact, ...]
    profile: ProfileChart | None


def summary_sentence(result: StructureResult, run: RunIdentity) -> str:
    """The condition in one plain sentence; where nothing was inspected it says so and states no finding."""
    reason = unseen_reason(result)
    if reason is not None:
        return (
            f"This structure was not inspected: {clean_text(reason).rstrip('.')}; this survey says nothing about its "
            "condition."
        )
    whole = result.footprint_area_m2
    of_whole = f" of {area_text(whole)}" if whole is not None else ""
    areas = f"{area_text(result.inspected_area_m2)}{of_whole}"
    known = whole is not None
    seen = f"On the inspected {coverage_text(result.coverage_percent)} of the footprint ({areas})" if known else ""
    seen = seen or f"On the inspected {areas}, of a footprint of unknown size"
    rest = "" if known and result.coverage_percent >= 100 else "; nothing is known of the rest"
    return f"{seen}: {_cracks_words(result, run)}; {_rust_words(result, run)}{rest}."


def _cracks_words(result: StructureResult, run: RunIdentity) -> str:
    limit_mm = resolvable_width_mm(result, run)
    if not looked_for(run, "crack"):
        return "cracks were not looked for"
    if result.cracks.count == 0:
        caveat = f" (cracks thinner than {limit_text(limit_mm)} may be missed)" if limit_mm is not None else ""
        return f"no crack was found{caveat}"
    found, single = count_text(result.cracks.count, "crack", "cracks"), result.cracks.count == 1
    length = with_unit(result.cracks.total_length_m, "m")
    total = f"{length} long" if single else f"{length} long in total"
    widest = widest_text(result)
    if widest is None:
        bound = f" ({below_text(limit_mm)})" if limit_mm is not None else ""
        return f"{found}, {total}, {'not' if single else 'none'} wide enough to be measured{bound}"
    return f"{found}, {total}, {'at its widest' if single else 'the widest'} {widest}"


def _rust_words(result: StructureResult, run: RunIdentity) -> str:
    if not looked_for(run, "rust"):
        return "rust was not looked for"
    if result.rust.patch_count == 0:
        return "no rust was found"
    patches = count_text(result.rust.patch_count, "rust patch", "rust patches")
    share = share_text(result.rust.percent_of_inspected)
    return f"{patches}, {area_text(result.rust.area_m2)} or {share} of the {clean_text(result.rust.denominator)}"


def widest_text(result: StructureResult) -> str | None:
    """The largest stated width with the ± of its own crack; None where no crack is wide enough to be measured."""
    if result.cracks.max_width_mm is None:
        return None
    measures = [d.crack for d in result.defects if d.crack is not None and not d.below_resolution]
    if not measures:
        return None
    widest = max(measures, key=lambda measure: measure.max_width_mm)
    text = _width(widest, widest.max_width_mm, below_resolution=False)
    return text if text != NOT_MEASURED else None


def key_facts(result: StructureResult, run: RunIdentity) -> tuple[Fact, ...]:
    """The figures of the summary table; empty where nothing was inspected."""
    if unseen_reason(result) is not None:
        return ()
    cracks, rust, whole = result.cracks, result.rust, result.footprint_area_m2
    unseen = None if whole is None else max(0.0, whole - result.inspected_area_m2)
    facts = [
        Fact("Footprint", area_text(whole)),
        Fact("Inspected", area_text(result.inspected_area_m2)),
        Fact("Coverage", coverage_text(result.coverage_percent) if whole is not None else NOT_MEASURED),
        Fact("Not inspected", NOT_MEASURED if unseen is None else area_text(unseen)),
        Fact("Cracks", _count_words(cracks.count, "crack", "cracks", known=looked_for(run, "crack"))),
    ]
    if cracks.count:
        facts += _crack_facts(result, run)
    facts.append(Fact("Rust", _count_words(rust.patch_count, "patch", "patches", known=looked_for(run, "rust"))))
    if rust.patch_count:
        share = share_text(rust.percent_of_inspected)
        facts += [
            Fact("Rusted area", area_text(rust.area_m2)),
            Fact("Rust share", f"{share} of the {clean_text(rust.denominator)}"),
        ]
        if rust.largest_patch_m2 is not None:
            facts.append(Fact("Largest patch", area_text(rust.largest_patch_m2)))
        if rust.beside_denominator_m2 > 0:
            facts.append(Fact("Colour of rust beside that surface", area_text(rust.beside_denominator_m2)))
        if rust.staining:
            facts.append(Fact("Staining", clean_text(rust.staining)))
    if rust.astm_d610_grade is not None:
        kind = f", {clean_text(rust.astm_d610_distribution)}" if rust.astm_d610_distribution else ""
        facts.append(Fact("Rust grade, ASTM D610", f"{rust.astm_d610_grade}{kind}"))
    if rust.iso_4628_3_ri is not None:
        facts.append(Fact("Rust grade, ISO 4628-3", clean_text(rust.iso_4628_3_ri)))
    return tuple(facts)


def _count_words(count: int, singular: str, plural: str, *, known: bool) -> str:
    return count_text(count, singular, plural) + (" found" if count == 0 else "") if known else NOT_LOOKED_FOR


def _crack_facts(result: StructureResult, run: RunIdentity) -> list[Fact]:
    cracks, limit_mm = result.cracks, resolvable_width_mm(result, run)
    measures = [d.crack for d in result.defects if d.crack is not None and not d.below_resolution]
    facts = [
        Fact("Crack length", with_unit(cracks.total_length_m, "m")),
        Fact("Crack density", with_unit(cracks.density_m_per_m2, "m per m² inspected")),
        *_pattern_facts(cracks),
        Fact("Largest width", widest_text(result) or (below_text(limit_mm) if limit_mm else NOT_MEASURED)),
    ]
    if measures and limit_mm is not None:
        # No crack's own ± holds for a figure over all cracks; the largest is on the safe side.
        plus = max(measure.width_uncertainty_mm for measure in measures)
        for label, value in (
            ("Width, 95th percentile, worst crack", cracks.p95_width_mm),
            ("Width, mean of the measurable", cracks.mean_width_mm),
        ):
            facts.append(
                Fact(label, width_text(value, uncertainty_mm=plus, resolvable_mm=limit_mm, below_resolution=False))
            )
    if cracks.below_resolution_count:
        bound = f"each {below_text(limit_mm)}" if limit_mm is not None else "below the limit"
        facts.append(
            Fact("Too thin to measure", f"{count_text(cracks.below_resolution_count, 'crack', 'cracks')}, {bound}")
        )
    return facts


def grade_states(result: StructureResult) -> tuple[str, ...]:
    """The condition states that any standard of this structure gives quantities for, in its order."""
    states = [clean_text(state) for grade in result.grades for state in grade.quantities]
    return tuple(sorted(dict.fromkeys(states), key=lambda state: state == "not graded"))


def grade_rows(result: StructureResult) -> tuple[GradeRow, ...]:
    """One row per standard; empty where nothing was inspected."""
    if unseen_reason(result) is not None:
        return ()
    states = grade_states(result)
    rows = []
    for grade in result.grades:
        quantities = {clean_text(state): value for state, value in grade.quantities.items()}
        name, remarks = grade_words(grade)
        rows.append(
            GradeRow(
                standard=clean_text(f"{grade.standard} {grade.version}"),
                element=clean_text(grade.element),
                quantities=tuple(number_text(quantities[s]) if s in quantities else "–" for s in states),
                unit=_UNITS.get(grade.unit, clean_text(grade.unit)) if grade.quantities else "–",
                grade=clean_text(name),
                remarks=clean_text(remarks),
                severity=severity_of(name),
            )
        )
    return tuple(rows)


def defect_row(number: int, defect: Defect, place: Place, *, sheet: str = "") -> DefectRow:
    """One defect as a table row."""
    measure = defect.crack
    return DefectRow(
        number=number,
        anchor=f"defect-{number}",
        id=clean_text(defect.id),
        kind=CLASS_NAMES[defect.pixel_class],
        severity=severity_of(defect_state(defect)),
        length=number_text(measure.length_m) if measure is not None else "–",
        max_width=_width(measure, measure.max_width_mm, below_resolution=defect.below_resolution) if measure else "–",
        mean_width=_width(measure, measure.mean_width_mm, below_resolution=defect.below_resolution) if measure else "–",
        area=number_text(defect.area_m2),
        confidence=number_text(defect.confidence, digits=2),
        along=structure_position_text(place.along_m, place.across_m),
        position=_position(place),
        pixel=f"{clean_text(defect.raster_name, most_chars=80)}, row {int(place.row)}, col {int(place.col)}",
        sheet=sheet,
    )


def defect_state(defect: Defect) -> str | None:
    """The condition state of a defect, or all that its ± leaves open; None where it has none."""
    possible = defect.possible_states
    if len(possible) < 2:
        return defect.condition_state
    return f"{possible[0]} {'or' if len(possible) == 2 else 'to'} {possible[-1]}"


def defect_detail(row: DefectRow, defect: Defect, place: Place, georeference: Georeference) -> DefectDetail:
    """One of the worst defects in full; `georeference` is that of its raster."""
    gsd_mm = georeference.scale_at(place.row, place.col).gsd_m * 1000
    location = (
        Fact("On the structure", row.along + (f" (sheet {row.sheet})" if row.sheet else "")),
        Fact("WGS 84", row.position),
        Fact("Raster", clean_text(defect.raster_name)),
        Fact("Pixel", f"row {int(place.row)}, column {int(place.col)}"),
        Fact("GSD there", with_unit(gsd_mm, "mm per pixel")),
    )
    measure = defect.crack
    if measure is None:
        facts: tuple[Fact, ...] = (Fact("Area", area_text(defect.area_m2)),)
        headline = f"{area_text(defect.area_m2)} of rust"
    else:
        facts = _measure_facts(measure, defect)
        headline = f"{with_unit(measure.length_m, 'm')} long, {row.max_width} wide"
    facts += (Fact("Confidence", row.confidence),)
    usable = measure is not None and not defect.below_resolution
    return DefectDetail(row, headline, facts, location, profile_chart(measure) if measure and usable else None)


def _pattern_facts(cracks: CrackSummary) -> list[Fact]:
    facts = [Fact("Crack pattern", cracks.pattern)] if cracks.pattern is not None else []
    if cracks.spacing_m is not None:
        facts.append(Fact("Crack spacing", f"{with_unit(cracks.spacing_m, 'm')} between cracks (median)"))
    return facts


def _measure_facts(measure: CrackMeasure, defect: Defect) -> tuple[Fact, ...]:
    below = defect.below_resolution
    methods = {"profile": "profiles across the crack", "distance": "distance transform"}
    bridged = f", {with_unit(measure.bridged_m, 'm')} of it bridging gaps" if measure.bridged_gaps else ""
    return (
        Fact("Length", with_unit(measure.length_m, "m") + bridged),
        Fact("Largest width", _width(measure, measure.max_width_mm, below_resolution=below)),
        Fact("Width, 95th percentile", _width(measure, measure.p95_width_mm, below_resolution=below)),
        Fact(
            "Width, mean",
            width_text(
                measure.mean_width_mm,
                uncertainty_mm=measure.stated_mean_uncertainty_mm,
                resolvable_mm=measure.resolvable_width_mm,
                below_resolution=below,
            ),
        ),
        Fact("Least measurable width", limit_text(measure.resolvable_width_mm)),
        Fact("Width measured by", methods.get(measure.width_method, clean_text(measure.width_method))),
        Fact("Area", area_text(defect.area_m2)),
    )


def _width(measure: CrackMeasure, value_mm: float, *, below_resolution: bool) -> str:
    return width_text(
        value_mm,
        uncertainty_mm=measure.width_uncertainty_mm,
        resolvable_mm=measure.resolvable_width_mm,
        below_resolution=below_resolution,
    )


def _position(place: Place) -> str:
    if place.lon is None or place.lat is None:
        return "local frame, no place on the earth"
    return position_text(place.lon, place.lat)
