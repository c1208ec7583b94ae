"""How a training goes: a bar on a terminal, a log line per report always."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from segmentation.training.learning_curves import TrainProgress

log = logging.getLogger("spanscan.train")


@contextmanager
def training_progress(steps: int) -> Iterator[tuple[Callable[[int, float], None], Callable[[TrainProgress], None]]]:
    """Callbacks for each step (steps done, loss) and for each report of a training of `steps`, shown on stderr."""
    if not sys.stderr.isatty():
        yield _say_nothing, _tell
        return
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps · loss {task.fields[loss]:.4f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        job = bar.add_task("training", total=steps, loss=float("nan"))
        yield lambda done, loss: bar.update(job, completed=done, loss=loss), _tell


def _say_nothing(done: int, loss: float) -> None:
    """Where nobody watches, a report now and then is enough."""


def _tell(progress: TrainProgress) -> None:
    log.info(
        "step %d of %d: loss %.4f, learning rate %.2g, %.0f s",
        progress.step,
        progress.steps,
        progress.loss,
        progress.learning_rate,
        progress.elapsed_s,
    )
    for name, counts in progress.validation.items():
        log.info(
            "  %s: IoU %.3f, precision %.3f, recall %.3f, tolerant F1 %.3f",
            name, counts.iou, counts.precision, counts.recall, counts.tolerant_f1,
        )  # fmt: skip
