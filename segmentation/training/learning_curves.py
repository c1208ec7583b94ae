"""How a run went, for people: a table of all reports as CSV, and the curves drawn from it as PNG."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any, Final

from segmentation.models.registry import replace_file
from segmentation.training.metrics import Counts

LOG_NAME: Final = "log.csv"
"""Name of the table in the run folder."""
CURVES_NAME: Final = "learning-curves.png"
"""Name of the picture in the run folder."""

_TRAIN = "train"
_FIGURES = ("iou", "f1", "precision", "recall", "tolerant_f1", "cl_iou")
_HEADER = ("step", "loss", "learning_rate", "elapsed_s", "set", *_FIGURES)
_INCHES, _DOTS_PER_INCH = (9.0, 9.0), 110


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """One report of a running training."""

    step: int
    """Steps done."""
    steps: int
    """Steps of the run."""
    loss: float
    """Mean loss since the last report."""
    learning_rate: float
    """Learning rate of the last step."""
    elapsed_s: float
    """Seconds since this process started to train."""
    validation: Mapping[str, Counts]
    """Scores by set, empty where this report carries none."""


def add_to_log(run_dir: Path, progress: TrainProgress) -> None:
    """Add a line per report and set; lines of steps that a resumed run repeats are dropped."""
    rows = [row for row in read_log(run_dir) if int(row["step"]) < progress.step]
    head = {
        "step": str(progress.step),
        "loss": f"{progress.loss:.5f}",
        "learning_rate": f"{progress.learning_rate:.3g}",
        "elapsed_s": f"{progress.elapsed_s:.1f}",
    }
    rows.append({**head, "set": _TRAIN})
    for name, counts in progress.validation.items():
        rows.append({**head, "set": name, **{figure: f"{getattr(counts, figure):.4f}" for figure in _FIGURES}})
    text = StringIO()
    writer = csv.DictWriter(text, _HEADER, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    replace_file(run_dir / LOG_NAME, text.getvalue().encode())


def read_log(run_dir: Path) -> list[dict[str, str]]:
    """The lines of a run's table by column; none where there is no table."""
    path = run_dir / LOG_NAME
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def draw_curves(run_dir: Path) -> None:
    """Draw the run's table: loss (logarithmic), learning rate, and the scores of each set over the steps."""
    from matplotlib.figure import Figure  # half a second, and needed only here

    rows = read_log(run_dir)
    figure = Figure(figsize=_INCHES, dpi=_DOTS_PER_INCH, layout="constrained")
    upper, middle, lower = figure.subplots(3, 1, sharex=True)
    train = [row for row in rows if row["set"] == _TRAIN]
    upper.plot(*_points(train, "loss"), color="black", linewidth=1)
    upper.set(ylabel="loss", yscale="log", title=run_dir.name)
    rate = upper.twinx()
    rate.plot(*_points(train, "learning_rate"), color="tab:grey", linewidth=1, linestyle=":")
    rate.set_ylabel("learning rate (dotted)")
    for axes, figures, label in ((middle, "iou", "IoU"), (lower, "tolerant_f1", "tolerant F1")):
        _draw_scores(axes, rows, figures)
        axes.set(ylabel=label, ylim=(0, 1))
    lower.set_xlabel("step")
    picture = BytesIO()
    figure.savefig(picture, format="png")
    replace_file(run_dir / CURVES_NAME, picture.getvalue())


def _draw_scores(axes: Any, rows: Iterable[Mapping[str, str]], figure: str) -> None:
    rows = list(rows)
    for name in dict.fromkeys(row["set"] for row in rows if row["set"] != _TRAIN):
        axes.plot(*_points([row for row in rows if row["set"] == name], figure), marker=".", linewidth=1, label=name)
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(fontsize="small", loc="lower right")


def _points(rows: Iterable[Mapping[str, str]], column: str) -> tuple[list[int], list[float]]:
    rows = list(rows)
    return [int(row["step"]) for row in rows], [float(row[column]) for row in rows]
