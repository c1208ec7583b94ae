"""The command `spanscan`: one way in. Results on stdout, everything else on stderr, no traceback at a user."""

import functools
import json
import logging
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer
from pydantic import ValidationError

from flows.settings import Settings
from segmentation.errors import SpanscanError, UsageError

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
    "train": "the last checkpoint is kept, the same command goes on from it",
}

Command = TypeVar("Command", bound=Callable[..., None])


def main() -> None:
    """Run the command line; exit codes: 0 done, 2 wrong usage, 3 input rejected, 4 run failed, 130 interrupted."""
    app()


def _command(function: Command) -> Command:
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
        except Exception:  # the last line of defence: a user gets one line, a developer the file
            sys.stderr.write(_unexpected() + "\n")
            raise typer.Exit(4) from None

    app.command()(guarded)
    return function


@_command
def demo(
    out: Annotated[Path, typer.Option(help="folder for the report")] = Path("spanscan-demo"),
    seed: Annotated[int, typer.Option(help="which sample survey is made")] = 7,
) -> None:
    """Make a sample survey, upload it to an embedded S3 server, inspect it, compare with the truth."""
    from flows.demo import run_demo

    settings = _settings()
    _log_to_stderr(settings)
    run_demo(settings, out=out, seed=seed)


@_command
def inspect(
    survey: SurveyArgument,
    results: ResultsOption = None,
    model: ModelOption = None,
    scheduler: Annotated[str | None, typer.Option(help="Dask scheduler, tcp://host:port")] = None,
    gsd_mm: GsdOption = None,
    skip_rejected: SkipOption = False,
    as_json: JsonOption = False,
) -> None:
    """Inspect a survey and publish one report per structure."""
    from flows.prefect_home import prefect_api

    chosen = _overrides(results=results, model=model, scheduler=scheduler, gsd_mm=gsd_mm, skip_rejected=skip_rejected)
    settings = _settings(**chosen)
    _log_to_stderr(settings)
    started = time.monotonic()
    with prefect_api(home=settings.home):
        from flows.inspect_survey import inspect_survey

        published = inspect_survey(survey, settings=chosen)
    if as_json:
        _print_json({**asdict(published), "seconds": round(time.monotonic() - started, 1)})
        return
    for line in published.summary_lines():
        typer.echo(line)
    typer.echo(published.results)


@_command
def plan(
    survey: SurveyArgument,
    model: ModelOption = None,
    gsd_mm: GsdOption = None,
    skip_rejected: SkipOption = False,
    as_json: JsonOption = False,
) -> None:
    """Print what an inspection would do: blocks, tiles, memory; reads headers only."""
    from flows.plan_text import plan_lines, plan_record
    from flows.stages import discover_survey, plan_inspection

    settings = _settings(**_overrides(model=model, gsd_mm=gsd_mm, skip_rejected=skip_rejected))
    _log_to_stderr(settings)
    made = plan_inspection(discover_survey(survey, settings), settings)
    if as_json:
        _print_json(plan_record(made))
        return
    for line in plan_lines(made):
        typer.echo(line)


@_command
def check(
    survey: SurveyArgument, model: ModelOption = None, gsd_mm: GsdOption = None, as_json: JsonOption = False
) -> None:
    """Validate a survey without inspecting it: a verdict per raster and structure."""
    from flows.check_text import check_lines, check_record
    from flows.stages import check_survey

    settings = _settings(**_overrides(model=model, gsd_mm=gsd_mm))
    _log_to_stderr(settings)
    report = check_survey(survey, settings)
    if as_json:
        _print_json(check_record(report))
    else:
        for line in check_lines(report):
            typer.echo(line)
    if not report.accepted:
        raise typer.Exit(3)


@_command
def train(
    data: Annotated[Path, typer.Option(help="folder with cracks_uav75, cracks_masonry, rust_photos")],
    out: Annotated[Path, typer.Option(help="run folder; an existing one is resumed")] = Path("runs/train"),
    steps: Annotated[int, typer.Option(help="optimiser steps", min=1)] = 4000,
    seed: Annotated[int, typer.Option(help="seed of everything random")] = 1,
) -> None:
    """Train the shipped architecture on labelled photographs and synthetic damage; resumes a run that was stopped."""
    from flows.train_model import train_model
    from segmentation.inference.predictor import pick_device

    settings = _settings()
    _log_to_stderr(settings)
    device = pick_device(settings.device)
    typer.echo(
        train_model(data=data, out=out, steps=steps, seed=seed, threads=settings.workers, device=device.split(":")[0])
    )


@_command
def evaluate(
    images: Annotated[Path, typer.Option(help="folder of images")],
    masks: Annotated[Path, typer.Option(help="folder of masks of the same stem: 255 damage, 128 ignore")],
    class_name: Annotated[Literal["crack", "rust"], typer.Option("--class", help="the class that the masks label")],
    model: ModelOption = None,
    scale: Annotated[float, typer.Option(help="factor by which images are resized before inference", min=0.05)] = 1.0,
    tolerance_px: Annotated[float, typer.Option(help="distance at which a line still counts as found", min=0)] = 4.0,
    as_json: JsonOption = False,
) -> None:
    """Score the weights on a folder of images and masks, through the product's own tiled engine."""
    from flows.evaluate_model import evaluate_folder, score_lines

    settings = _settings(**_overrides(model=model))
    _log_to_stderr(settings)
    score = evaluate_folder(
        images, masks, class_name=class_name, scale=scale, tolerance_px=tolerance_px, settings=settings
    )
    if as_json:
        _print_json(score)
        return
    for line in score_lines(score):
        typer.echo(line)


@_command
def models(as_json: JsonOption = False) -> None:
    """List the shipped weights with their cards and their geometry."""
    from flows.models_text import model_lines, model_records

    records = model_records()
    if as_json:
        _print_json({"models": records})
        return
    for line in model_lines(records):
        typer.echo(line)


def _overrides(*, gsd_mm: float | None = None, skip_rejected: bool = False, **given: str | None) -> dict[str, Any]:
    """The options that were given, under the names of their settings."""
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if gsd_mm is not None:
        chosen["gsd_m"] = gsd_mm / 1000
    if skip_rejected:
        chosen["skip_rejected"] = True
    return chosen


def _settings(**overrides: Any) -> Settings:
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors()[0]
        name = "SPANSCAN_" + "_".join(str(part) for part in first["loc"]).upper()
        raise UsageError(
            "E_SETTING", name, f"the setting must be valid, got {first['input']!r} ({first['msg']})", "mend or unset it"
        ) from error


def _log_to_stderr(settings: Settings) -> None:
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


def _unexpected() -> str:
    with tempfile.NamedTemporaryFile("w", prefix="spanscan-", suffix=".log", delete=False) as log:
        traceback.print_exc(file=log)
    error = sys.exc_info()[1]
    what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return f"spanscan: E_UNEXPECTED: {what}. Remedy: run again; if it persists, report it with {log.name}."


def _print_json(record: Any) -> None:
    typer.echo(json.dumps(record, ensure_ascii=False, default=str))
