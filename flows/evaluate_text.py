"""The result of `spanscan evaluate` as a table for a terminal, one column a model."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

_PLAIN_WIDTH = 120
"""Columns where the output is no terminal."""


def show_scores(records: Sequence[dict[str, Any]], *, title: str) -> None:
    """Print the figures of each model side by side."""
    table = _table(title, records)
    for section in (_technical, _business):
        for label, values in section(records):
            table.add_row(label, *values)
        table.add_section()
    _print(table, _notes(records[0]))


def show_undamaged(records: Sequence[dict[str, Any]], *, title: str) -> None:
    """Print what each model calls damage where there is none."""
    table = _table(title, records)
    for key, label in (
        ("called_damage_share", "pixels called damage"),
        ("called_crack_share", "… called crack"),
        ("called_rust_share", "… called rust"),
    ):
        table.add_row(label, *[_with_limits(r, key, percent=True, digits=4) for r in records])
    table.add_section()
    for name in records[0]["false_alarms"]:
        table.add_row(f"{name} findings listed", *[str(r["false_alarms"][name]) for r in records])
        table.add_row("… per Mpx", *[_number(r["false_alarms_per_mpx"][name]) for r in records])
        if records[0]["false_alarms_per_100_m2"] is not None:
            table.add_row("… per 100 m²", *[_number(r["false_alarms_per_100_m2"][name]) for r in records])
    _print(table, ["Every finding here is a false alarm. In brackets: 95 % interval by bootstrap over the pictures."])


Rows = Iterator[tuple[str, list[str]]]


def _technical(records: Sequence[dict[str, Any]]) -> Rows:
    def row(label: str, key: str) -> tuple[str, list[str]]:
        return label, [_with_limits(record, key) for record in records]

    first = records[0]
    yield row("IoU", "iou")
    yield row("F1 (Dice)", "f1")
    yield row("precision", "precision")
    yield row("recall", "recall")
    yield row("average precision of pixels", "average_precision")
    yield (
        "best F1 on the PR curve, its threshold",
        [_best(record["best_threshold"]) for record in records],
    )
    for key, label in (("tolerant_f1", "F1"), ("cl_iou", "centre-line IoU"), ("boundary_f1", "boundary F1")):
        for number, at in enumerate(first["by_tolerance"]):
            if at["tolerance_px"] == first["tolerance_px"]:
                yield row(f"{label} within {at['tolerance_px']:g} px", key)
            else:
                values = [_number(record["by_tolerance"][number][key]) for record in records]
                yield f"{label} within {at['tolerance_px']:g} px", values
    yield "instance AP, overlap ≥ 0.5", [_number(record["instances"]["ap50"]) for record in records]
    yield "instance AP, overlap 0.5 … 0.95", [_number(record["instances"]["ap"]) for record in records]
    yield "calibration error", [_number(record["calibration_error"]) for record in records]
    yield "damaged share (chance IoU)", [_number(record["damaged_share"]) for record in records]
    yield "predicted share", [_number(record["predicted_share"]) for record in records]


def _business(records: Sequence[dict[str, Any]]) -> Rows:
    costs = [record["business"] for record in records]
    first = costs[0]
    if "by_width" in first:
        unit = first["length_unit"]
        yield f"missed crack length, of {first['crack_length']:.4g} {unit}", [_missed(c) for c in costs]
        for number, width in enumerate(first["by_width"]):
            label = f"… {_width(width)}, of {width['length']:.4g} {unit}"
            yield label, [_missed_part(c["by_width"][number], unit) for c in costs]
    yield "pieces of damage missed", [f"{c['missed_pieces']} of {c['pieces_of_damage']}" for c in costs]
    yield "false alarms among findings", [f"{c['false_alarms']} of {c['findings']}" for c in costs]
    if first["false_alarms_per_100_m2"] is not None:
        yield "false alarms per 100 m²", [_number(c["false_alarms_per_100_m2"]) for c in costs]
    yield "false alarms per Mpx", [_with_limits(r | r["business"], "false_alarms_per_mpx") for r in records]
    if records[0]["class"] == "rust":
        errors = [_with_limits(r | r["business"], "area_error", percent=True, digits=1) for r in records]
        yield "rusted-area error", errors
    for name in first["grade_flips"]:
        flips = [c["grade_flips"][name] for c in costs]
        yield f"grade differs, {name}", [f"{f['flipped']} of {f['graded']} pictures" for f in flips]
    yield "review, assumed minutes", [_number(c["review_minutes"], digits=1) for c in costs]


def _notes(record: dict[str, Any]) -> list[str]:
    seconds = record["business"]["review_assumptions_s"]
    notes = [
        "In brackets: 95 % interval by bootstrap over the pictures. The best threshold is chosen on the same pictures.",
        f"Review: {seconds['image']:g} s a picture, {seconds['confirm']:g} s a finding, {seconds['reject']:g} s more "
        f"for a false alarm, {seconds['draw']:g} s for a missed piece: assumptions (SPANSCAN_REVIEW_…_S).",
    ]
    if record["class"] == "crack" and record["gsd_mm"] is None:
        notes.append("Lengths are in pixels and no crack is graded: give --gsd-mm for metres and grades.")
    return notes


def _table(title: str, records: Sequence[dict[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for record in records:
        table.add_column(f"{record['model']}\n{record['sha256'][:12]}", justify="right")
    return table


def _print(table: Table, notes: Sequence[str]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PLAIN_WIDTH)
    console.print(table)
    for note in notes:
        console.print(note, style="dim", highlight=False)


def _with_limits(record: dict[str, Any], key: str, *, percent: bool = False, digits: int = 3) -> str:
    value, limits = record[key], record["intervals_95"].get(key)
    text = _number(value, percent=percent, digits=digits)
    if value is None or limits is None:
        return text
    low, high = (_number(limit, percent=percent, digits=digits) for limit in limits)
    return f"{text} ({low} … {high})"


def _number(value: float | None, *, percent: bool = False, digits: int = 3) -> str:
    if value is None:
        return "undefined"
    return f"{100 * value:.{digits}f} %" if percent else f"{value:.{digits}f}"


def _best(best: dict[str, Any] | None) -> str:
    return "undefined" if best is None else f"{best['f1']:.3f} at {best['threshold']:.2f}"


def _missed(cost: dict[str, Any]) -> str:
    return (
        f"{cost['missed_length']:.4g} {cost['length_unit']} ({_number(cost['missed_share'], percent=True, digits=0)})"
    )


def _missed_part(part: dict[str, Any], unit: str) -> str:
    if part["missed_share"] is None:
        return "none there"
    return f"{part['missed']:.4g} {unit} ({_number(part['missed_share'], percent=True, digits=0)})"


def _width(part: dict[str, Any]) -> str:
    low, high = part["width_px"]
    pixels = f"{low:g} px and wider" if high is None else f"{low:g}–{high:g} px wide"
    if part["width_mm"] is None:
        return pixels
    low, high = part["width_mm"]
    return f"{pixels} ({low:.3g} mm and more)" if high is None else f"{pixels} ({low:.3g}–{high:.3g} mm)"
