"""The growth curves of a structure's defects as a picture: with their ±, over the dates of the surveys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from itertools import pairwise
from typing import Any, Final

from tasks.compare.history import HistoryPoint, StructureHistory
from tasks.report.wording import clean_text

_MOST_NAMED: Final = 8
"""Curves of those that have grown most: what a legend can tell apart."""
_MOST_OTHERS: Final = 60
_COLOURS: Final = ("#8a1c4b", "#b8430a", "#b08500", "#2e7d50", "#2f6f9f", "#5b3f8c", "#17202a", "#7b5a3c")
_MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
_QUIET: Final = "#b4bcc4"


@dataclass(frozen=True, slots=True)
class _Panel:
    title: str
    label: str
    defect_class: str
    size: str
    uncertainty: str
    factor: float


_PANELS: Final = (
    _Panel("Length of cracks", "length, m", "crack", "length_m", "length_uncertainty_m", 1.0),
    _Panel("Largest width of cracks", "largest width, mm", "crack", "max_width_mm", "width_uncertainty_mm", 1.0),
    _Panel("Area of rust patches", "area, cm²", "rust", "area_m2", "area_uncertainty_m2", 1e4),
)
Curve = tuple[str, list[HistoryPoint]]


def growth_png(history: StructureHistory) -> bytes:
    """The curves as a PNG: those that have grown beyond their ± in colour, the others in grey.

    All sizes are in the scale of the last survey.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.5, 4.8), dpi=130, layout="constrained")
    places, labels = _places(history)
    axes = figure.subplots(1, len(_PANELS))
    for axis, panel in zip(axes, _PANELS, strict=True):
        _draw(axis, panel, history, places)
        axis.set_title(panel.title, fontsize=11, loc="left")
        axis.set_ylabel(panel.label)
        axis.set_xticks(list(places.values()), labels, rotation=30, ha="right", fontsize=8)
        axis.tick_params(axis="y", labelsize=8)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.08)
        axis.set_ylim(bottom=0)
    figure.suptitle(f"{clean_text(history.structure)[:80]}: growth of its defects", fontsize=13, x=0.01, ha="left")
    figure.supxlabel(
        "Coloured: grown beyond the ±, which the bars show. Grey: not. All in the scale of the last survey.", fontsize=8
    )
    png = BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()


def _draw(axis: Any, panel: _Panel, history: StructureHistory, places: dict[str, float]) -> None:
    grown, others = _curves(history, panel)
    for _, curve in others[:_MOST_OTHERS]:
        xs, ys = _xy(curve, panel, places)
        axis.plot(xs, ys, color=_QUIET, linewidth=1.0, marker=".", markersize=4, zorder=1)
    for number, (stable_id, curve) in enumerate(grown[:_MOST_NAMED]):
        xs, ys = _xy(curve, panel, places)
        bars = [panel.factor * (point.size(panel.uncertainty) or 0.0) for point in curve]
        axis.errorbar(
            xs, ys, yerr=bars, color=_COLOURS[number], marker=_MARKERS[number], markersize=5, linewidth=1.6,
            elinewidth=1.0, capsize=3, label=stable_id, zorder=2,
        )  # fmt: skip
    if grown:
        left = len(grown) - _MOST_NAMED
        title = f"{left} more have grown" if left > 0 else None
        axis.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, title=title)
    if not grown and not others:
        axis.text(
            0.5, 0.5, "nothing seen twice yet", ha="center", va="center", transform=axis.transAxes, color="#56616c"
        )


def _curves(history: StructureHistory, panel: _Panel) -> tuple[list[Curve], list[Curve]]:
    """(those that have grown in this size, the most first; the others)."""
    curves: dict[str, list[HistoryPoint]] = {}
    for point in history.points:
        if point.defect_class == panel.defect_class and point.size(panel.size) is not None:
            curves.setdefault(point.stable_id, []).append(point)
    known = [(stable_id, curve) for stable_id, curve in curves.items() if len(curve) > 1]
    known.sort(key=lambda one: -_growth(one[1], panel))
    grown = [one for one in known if _has_grown(one[1], panel)]
    return grown, [one for one in known if not _has_grown(one[1], panel)]


def _growth(curve: Sequence[HistoryPoint], panel: _Panel) -> float:
    return (curve[-1].size(panel.size) or 0.0) - (curve[0].size(panel.size) or 0.0)


def _has_grown(curve: Sequence[HistoryPoint], panel: _Panel) -> bool:
    """Whether a comparison called it grown, and this size of it is larger by more than the ± of both ends."""
    plus = sum((curve[end].size(panel.uncertainty) or 0.0) ** 2 for end in (0, -1)) ** 0.5
    return any(point.change == "GROWN" for point in curve) and _growth(curve, panel) > plus


def _xy(curve: Sequence[HistoryPoint], panel: _Panel, places: dict[str, float]) -> tuple[list[float], list[float]]:
    return [places[point.run_key] for point in curve], [
        panel.factor * (point.size(panel.size) or 0.0) for point in curve
    ]


def _places(history: StructureHistory) -> tuple[dict[str, float], list[str]]:
    """Where each survey stands on the axis of time, by run key, and its label; evenly where a date is not known."""
    keys = [survey.run_key for survey in history.surveys]
    labels = [survey.date[:10] for survey in history.surveys]
    try:
        days = [float(date.fromisoformat(label).toordinal()) for label in labels]
    except ValueError:
        days = []
    gaps = [later - earlier for earlier, later in pairwise(days)]
    if not days or (gaps and min(gaps) < 0.06 * (days[-1] - days[0])) or len(set(days)) < len(days):
        return {key: float(number) for number, key in enumerate(keys)}, labels
    return dict(zip(keys, days, strict=True)), labels
