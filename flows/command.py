"""What every command shares: its registration, its options, and how failures and results are told."""

import functools
import json
import logging
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from flows.settings import Settings
from segmentation.errors import RunFailed, SpanscanError, UsageError

app = typer.Typer(
    name="spanscan",
    help="Crack and rust inspection reports from drone imagery.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


SurveyArgument = Annotated[str, typer.Argument(help="s3://bucket/prefix/, a folder, or one raster", show_default=False)]
ResultsOption = Annotated[str | None, typer.Option(help="where results go: s3://bucket/prefix or a folder")]
ModelOption = Annotated[str | None, typer.Option(help="name of shipped weights, or path of a .safetensors")]
GsdOption = Annotated[float | None, typer.Option(help="GSD in mm for rasters without a place on the earth", min=0.01)]
JsonOption = Annotated[bool, typer.Option("--json", help="one JSON object on stdout")]
SkipOption = Annotated[bool, typer.Option("--skip-rejected", help="go on without the rasters that are rejected")]


_AFTER_INTERRUPT = {
    "inspect": "finished blocks are kept, the same command goes on from them",
    "measure": "finished blocks are kept, the same command goes on from them",
    "train": "the last checkpoint is kept, the same command goes on from it",
    "watch": "messages that were not recorded come again",
    "review": "every decision that was made is saved",
    "serve": "finished blocks of runs under way are kept, the same command goes on from them",
}


def command(function: Callable[..., None]) -> None:
    """Register a command whose every failure becomes one line on stderr and an exit code."""

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except SpanscanError as error:
            _tell(error)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            sys.stderr.write(
                f"spanscan: interrupted; {_AFTER_INTERRUPT.get(function.__name__, 'nothing was left behind')}\n"
            )
            raise typer.Exit(130) from None
        except typer.Exit:
            raise
        except Exception as error:  # the last line of defence: a user gets one line, a developer the file
            sys.stderr.write((_prefect_gone(error) or _unexpected()) + "\n")
            raise typer.Exit(4) from None

    app.command()(guarded)


def overrides(
    *, gsd_mm: float | None = None, skip_rejected: bool = False, **given: str | float | None
) -> dict[str, Any]:
    """The options that were given, under the names of their settings."""
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if gsd_mm is not None:
        chosen["gsd_m"] = gsd_mm / 1000
    if skip_rejected:
        chosen["skip_rejected"] = True
    return chosen


def settings_of(**chosen: Any) -> Settings:
    """The settings with some of them given; raises UsageError E_SETTING where one is out of its bounds."""
    try:
        return Settings(**chosen)
    except ValidationError as error:
        first = error.errors()[0]
        name = "SPANSCAN_" + "_".join(str(part) for part in first["loc"]).upper()
        raise UsageError(
            "E_SETTING", name, f"the setting must be valid, got {first['input']!r} ({first['msg']})", "mend or unset it"
        ) from error


def log_to_stderr(settings: Settings) -> None:
    """Send the project's own log to stderr, where results never go."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    logger = logging.getLogger("spanscan")
    logger.handlers = [handler]
    logger.setLevel(settings.log_level)
    logger.propagate = False


def _tell(error: SpanscanError) -> None:
    rejected = getattr(error, "rejected", ())
    lines = [r.message for r in rejected] or [str(error)]
    sys.stderr.write("".join(f"spanscan: {line}\n" for line in lines))


def _prefect_gone(error: Exception) -> str | None:
    """What to tell of a Prefect server that does not answer, or no more; None for another error."""
    import httpx  # late: most commands speak to nobody

    if not isinstance(error, httpx.TransportError) and not isinstance(error.__cause__, httpx.TransportError):
        return None
    what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    cause = f"Prefect's server must answer while a flow runs, got {what}"
    remedy = "mend PREFECT_API_URL or bring the server back, and give the same command again: finished blocks are kept"
    return f"spanscan: {RunFailed('E_PREFECT', 'Prefect server', cause, remedy)}"


def _unexpected() -> str:
    with tempfile.NamedTemporaryFile("w", prefix="spanscan-", suffix=".log", delete=False) as log:
        traceback.print_exc(file=log)
    error = sys.exc_info()[1]
    what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return f"spanscan: E_UNEXPECTED: {what}. Remedy: run again; if it persists, report it with {log.name}."


def print_json(record: Any) -> None:
    """One JSON object on stdout."""
    typer.echo(json.dumps(record, ensure_ascii=False, default=str))
