"""How far a long stage is: a bar on a terminal, a log line every tenth elsewhere."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from flows.run_board import RunBoard

log = logging.getLogger("spanscan.progress")


@contextmanager
def block_progress(
    name: str, board: RunBoard, *, unit: str = "blocks", pixels: int | None = None
) -> Iterator[Callable[[int, int], None]]:
    """A callback ``(done, all)`` that shows the progress of a stage on stderr and on the run's board."""
    count = board.counter(name, unit=unit, pixels=pixels)
    with shown_progress(name, unit=unit) as show:

        def both(done: int, total: int) -> None:
            count(done, total)
            show(done, total)

        yield both


@contextmanager
def shown_progress(name: str, *, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A callback ``(done, all)`` that shows on stderr how far something is."""
    if not sys.stderr.isatty():
        yield _Lines(name, unit)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        job = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(job, completed=done, total=total)


class _Lines:
    def __init__(self, name: str, unit: str) -> None:
        self._name = name
        self._unit = unit
        self._tenths_told = 0

    def __call__(self, done: int, total: int) -> None:
        tenths = 10 * done // total if total else 10
        if tenths > self._tenths_told:
            self._tenths_told = tenths
            log.info("%s: %d of %d %s", self._name, done, total, self._unit)
