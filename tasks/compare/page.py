"""The comparison as a reader sees it, before any layout, and as one self-contained HTML page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from segmentation.comparison.records import Change
from tasks.compare.pictures import ChangePictures
from tasks.report.page import render
from tasks.report.pictures import Picture
from tasks.report.severity import Severity
from tasks.report.structure_html import page_header_styles
from tasks.report.wording import area_text, clean_text, count_text, number_text, plus_minus, with_unit

_MOST_SUMMARY_ROWS: Final = 2_000
_KINDS: Final = {
    Change.GROWN: Severity("GROWN", "sev-3", 4),
    Change.NEW: Severity("NEW", "sev-2", 3),
    Change.REPAIRED: Severity("REPAIRED", "sev-1", 2),
    Change.NOT_SEEN: Severity("NOT SEEN", "sev-unseen", 1),
    Change.STATIC: Severity("STATIC", "sev-none", 0),
}
_WHAT: Final = {"crack": "Crack", "rust": "Rust patch"}


@dataclass(frozen=True, slots=True)
class Fact:
    """A label with its value."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """One change in words."""

    stable_id: str
    ids: str
    badge: Severity
    kind: str
    what: str
    before: str
    now: str
    growth: str
    width: str
    remarks: str
    story: str
    """All of it in a sentence."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A change with its pictures."""

    row: ChangeLine
    older: Picture
    newer: Picture


@dataclass(frozen=True, slots=True)
class Section:
    """One structure that was compared."""

    anchor: str
    name: str
    sentence: str
    registration: str
    notes: tuple[str, ...]
    shown: tuple[Shown, ...]
    rows: tuple[ChangeLine, ...]
    caption: str


@dataclass(frozen=True, slots=True)
class SummaryLine:
    """One structure in the table at the top."""

    name: str
    anchor: str | None
    refusal: str | None
    counts: tuple[int, ...]
    registration: str


@dataclass(frozen=True, slots=True)
class ReportRun:
    """What the frame of a page says of its run."""

    run_key: str
    survey_id: str
    spanscan_version: str


@dataclass(frozen=True, slots=True)
class ComparisonReport:
    """A comparison in words and pictures: what has changed, structure by structure, before beside after."""

    title: str
    sentence: str
    facts: tuple[Fact, ...]
    rule: str
    kinds: tuple[Severity, ...]
    """In the order of the counts of each structure."""
    summary: tuple[SummaryLine, ...]
    summary_left_out: str
    structures: tuple[Section, ...]
    older_label: str
    newer_label: str
    run: ReportRun
    captured_at: str | None
    """When the newer survey was flown."""


def comparison_report(
    record: Mapping[str, Any], pictures: Mapping[str, Sequence[ChangePictures]], *, most_rows: int
) -> ComparisonReport:
    """The report of `comparison_json`; `pictures` by structure id, at most `most_rows` rows in its tables together."""
    older, newer = (run_label(record[which]) for which in ("older", "newer"))
    sections, left = [], most_rows
    for number, one in enumerate(record["structures"], start=1):
        if one["not_compared"] is None:
            sections.append(_section(one, f"structure-{number}", pictures.get(one["structure"]["id"], ()), left))
            left -= len(sections[-1].rows)
    summary = [_summary_line(one, f"structure-{n}") for n, one in enumerate(record["structures"], start=1)]
    more = len(summary) - _MOST_SUMMARY_ROWS
    run = ReportRun(record["newer"]["run_key"], clean_text(record["newer"]["survey_id"]), record["spanscan_version"])
    return ComparisonReport(
        title=run.survey_id,
        sentence=_sentence(record),
        facts=(Fact("Older survey", older), Fact("Newer survey", newer), Fact("Structures", str(len(summary)))),
        rule=record["rule"],
        kinds=tuple(_KINDS.values()),
        summary=tuple(summary[:_MOST_SUMMARY_ROWS]),
        summary_left_out=f"{more} more structures stand in comparison.json." if more > 0 else "",
        structures=tuple(sections),
        older_label=older,
        newer_label=newer,
        run=run,
        captured_at=record["newer"]["captured_at"],
    )


def comparison_html(report: ComparisonReport) -> str:
    """The report as a page."""
    return render(
        "comparison.html.j2",
        more_styles=page_header_styles(report.title, f"run {report.run.run_key}"),
        **{field.name: getattr(report, field.name) for field in fields(report)},
    )


def run_label(facts: Mapping[str, Any]) -> str:
    """A run as a reader knows it."""
    when = f", {clean_text(facts['captured_at'])}" if facts["captured_at"] else ""
    return f"{clean_text(facts['survey_id'])}{when}, run {facts['run_key']}"


def registration_text(made: Mapping[str, Any] | None) -> str:
    """How the older survey was laid on the newer one, with its residual."""
    if made is None:
        return ""
    of = "the imagery" if made["of"] == "imagery" else "the masks"
    turned = _minus(format(made["rotation_deg"], "z.2f"))
    return (
        f"Registered by {of}: the older survey lies {made['shift_px']:.2f} px off, turned by {turned}°, "
        f"scale {made['scale']:.4f}; {made['places_agreed']} of {made['places']} places agree, "
        f"residual {made['residual_px']:.2f} px ({with_unit(made['residual_mm'], 'mm', digits=2)})"
    )


def counts_text(counts: Mapping[str, int]) -> str:
    """The counts of changes in words, the worst first.

    >>> counts_text({"NEW": 2, "GROWN": 1, "STATIC": 0, "REPAIRED": 0, "NOT SEEN": 0})
    '1 grown, 2 new'
    """
    said = [f"{counts[kind.value]} {kind.value.lower()}" for kind in _KINDS if counts[kind.value]]
    return ", ".join(said) or "no defect in either survey"


def _sentence(record: Mapping[str, Any]) -> str:
    compared = [one for one in record["structures"] if one["not_compared"] is None]
    total = {kind.value: sum(one["counts"][kind.value] for one in compared) for kind in Change}
    refused = len(record["structures"]) - len(compared)
    told = f"{counts_text(total)}, in {count_text(len(compared), 'structure', 'structures')} compared."
    return told + (f" {count_text(refused, 'structure was', 'structures were')} not compared." if refused else "")


def _summary_line(one: Mapping[str, Any], anchor: str) -> SummaryLine:
    name = clean_text(one["structure"]["name"]) or clean_text(one["structure"]["id"])
    refused = one["not_compared"]
    if refused is not None:
        return SummaryLine(
            name, None, clean_text(f"{refused['code']}: {refused['cause']}. {refused['remedy']}."), (), ""
        )
    made = one["registration"]
    short = f"{made['of']}, residual {number_text(made['residual_px'], digits=2)} px"
    return SummaryLine(name, anchor, None, tuple(one["counts"][kind.value] for kind in _KINDS), short)


def _section(one: Mapping[str, Any], anchor: str, shown: Sequence[ChangePictures], left: int) -> Section:
    order = {kind.value: number for number, kind in enumerate(_KINDS)}
    changes = sorted(one["changes"], key=lambda change: (order[change["change"]], change["stable_id"]))
    listed = [change_line(change) for change in changes[: max(left, 0)]]
    pictured = {picture.stable_id for picture in shown}
    rows = {change["stable_id"]: change_line(change) for change in changes if change["stable_id"] in pictured}
    beyond = len(changes) - len(listed)
    caption = f"{count_text(len(changes), 'defect', 'defects')}, what grew or came first." + (
        f" {beyond} more stand in comparison.csv." if beyond else ""
    )
    return Section(
        anchor=anchor,
        name=clean_text(one["structure"]["name"]) or clean_text(one["structure"]["id"]),
        sentence=counts_text(one["counts"]) + ".",
        registration=registration_text(one["registration"]) + ".",
        notes=tuple(clean_text(note) for note in one["notes"]),
        shown=tuple(Shown(rows[picture.stable_id], picture.older, picture.newer) for picture in shown),
        rows=tuple(listed),
        caption=caption,
    )


def change_line(change: Mapping[str, Any]) -> ChangeLine:
    """One change of `comparison_json` in words."""
    is_crack = change["class"] == "crack"
    growth = change["length_m"] if is_crack else change["area_m2"]
    before, now = (_size_text(change, which, is_crack=is_crack) for which in ("older", "newer"))
    grown, width = _growth_text(growth, is_crack=is_crack), _width_text(change)
    remarks = "; ".join(clean_text(remark) for remark in change["remarks"])
    what = _WHAT[change["class"]]
    said = [f"{before} before, {now} now"]
    said += [f"{'length' if is_crack else 'area'} {grown}"] if growth is not None else []
    said += [f"largest width {width}"] if is_crack and width != "–" else []
    said += [remarks] if remarks else []
    both = [
        f"{', '.join(change[f'{which}_ids'])} {word}"
        for which, word in (("older", "before"), ("newer", "now"))
        if change[f"{which}_ids"]
    ]
    return ChangeLine(
        stable_id=clean_text(change["stable_id"]),
        ids=clean_text("; ".join(both)),
        badge=_KINDS[Change(change["change"])],
        kind=change["class"],
        what=what,
        before=before,
        now=now,
        growth=grown,
        width=width,
        remarks=remarks,
        story=_sentence_of(said),
    )


def _sentence_of(said: Sequence[str]) -> str:
    joined = "; ".join(said) + "."
    return joined[0].upper() + joined[1:]


def _size_text(change: Mapping[str, Any], which: str, *, is_crack: bool) -> str:
    size = change[f"{which}_size"]
    if size is None:
        return "not seen" if change["unseen_in"] == which else "not found"
    return with_unit(size["length_m"], "m") if is_crack else area_text(size["area_m2"])


def _growth_text(growth: Mapping[str, Any] | None, *, is_crack: bool) -> str:
    if growth is None:
        return "–"
    if is_crack:
        told = _signed(growth["difference"] * 1000, growth["uncertainty"] * 1000, "mm")
    else:
        told = _signed(growth["difference"] * 1e4, growth["uncertainty"] * 1e4, "cm²")
    if growth["percent"] is None:
        return told
    percent = f"{growth['percent']:+z.0f}"
    return f"{told} ({'0' if percent == '+0' else _minus(percent)} %)"


def _width_text(change: Mapping[str, Any]) -> str:
    growth = change["max_width_mm"]
    return "–" if growth is None else _signed(growth["difference"], growth["uncertainty"], "mm")


def _signed(difference: float, uncertainty: float, unit: str) -> str:
    """A difference with its sign, none where it rounds to nothing."""
    told = plus_minus(difference, uncertainty, unit)
    number = told.split(" ", 1)[0]
    if float(number.replace("−", "-")) == 0:
        return told.lstrip("-−")
    return f"+{told}" if difference > 0 else _minus(told)


def _minus(told: str) -> str:
    return told.replace("-", "−", 1)
