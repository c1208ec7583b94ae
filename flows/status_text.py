"""What `spanscan status` prints: a row per survey, then how many stand in which state."""

import sys
from collections import Counter
from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.status_uploads import SurveyStatus
from tasks.storage import printable

_STYLES = {"published": "green", "rejected": "red", "failed": "red", "running": "cyan", "complete": "cyan"}


def show_status(surveys: Iterable[SurveyStatus]) -> None:
    """Print the table on stdout."""
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 160)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("survey", "state", "files", "size", "last change", "what of it"):
        table.add_column(column, justify="right" if column in ("files", "size") else "left", overflow="fold")
    states: Counter[str] = Counter()
    for one in surveys:
        states[one.state] += 1
        style = _STYLES.get(one.state, "yellow")
        table.add_row(
            escape(printable(one.survey)),
            f"[{style}]{one.state}[/]",
            str(one.files),
            _size_text(one.size_bytes),
            one.changed_at[:16].replace("T", " "),
            escape(printable(state_text(one))),
        )
    if states:
        console.print(table)
    counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    console.print(f"{states.total()} surveys: {counts}" if states else "no survey in the inbox")


def state_text(one: SurveyStatus) -> str:
    """What there is to know about a state, in one line."""
    code = f"{one.code}: " if one.code else ""
    resumable = " (the next run goes on from its finished blocks)" if one.resumable else ""
    return f"{code}{one.why}{resumable}"


def _size_text(size_bytes: int) -> str:
    """Decimal units, as disks and S3 consoles count.

    >>> _size_text(999), _size_text(12_300_000)
    ('999 B', '12 MB')
    """
    value, unit = float(size_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
