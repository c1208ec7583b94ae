"""The commands that work on surveys and masks: demo, inspect, measure, plan, check."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.command import (
    GsdOption,
    JsonOption,
    ModelOption,
    ResultsOption,
    SkipOption,
    SurveyArgument,
    log_to_stderr,
    overrides,
    print_json,
    settings_of,
)
from flows.time_limits import told_when_out_of_time
from segmentation.errors import UsageError


def demo(
    out: Annotated[Path, typer.Option(help="folder for the report")] = Path("spanscan-demo"),
    seed: Annotated[int, typer.Option(help="which sample survey is made")] = 7,
) -> None:
    """Make a sample survey, upload it to an embedded S3 server, inspect it, compare with the truth."""
    from flows.demo import run_demo

    settings = settings_of()
    log_to_stderr(settings)
    run_demo(settings, out=out, seed=seed)


def inspect(
    survey: SurveyArgument,
    results: ResultsOption = None,
    model: ModelOption = None,
    scheduler: Annotated[str | None, typer.Option(help="Dask scheduler, tcp://host:port or tls://host:port")] = None,
    gsd_mm: GsdOption = None,
    skip_rejected: SkipOption = False,
    as_json: JsonOption = False,
) -> None:
    """Inspect a survey and publish one report per structure."""
    from flows.prefect_home import prefect_api

    chosen = overrides(results=results, model=model, scheduler=scheduler, gsd_mm=gsd_mm, skip_rejected=skip_rejected)
    settings = settings_of(**chosen)
    log_to_stderr(settings)
    started = time.monotonic()
    with prefect_api(home=settings.home, meanwhile="flows.inspection"):
        from flows.inspect_survey import inspect_survey

        with told_when_out_of_time(survey, limit_s=settings.run_timeout_s, setting="SPANSCAN_RUN_TIMEOUT_S"):
            published = inspect_survey(survey, settings=chosen)
    if as_json:
        print_json({**asdict(published), "seconds": round(time.monotonic() - started, 1)})
        return
    for line in published.summary_lines():
        typer.echo(line)
    typer.echo(published.results)


def measure(
    mask: Annotated[
        str, typer.Argument(help="GeoTIFF of class ids 0, 1 crack, 2 rust, 255 not inspected", show_default=False)
    ],
    image: Annotated[
        str | None, typer.Option(help="the picture it was drawn on, on the same grid: widths are then measured in it")
    ] = None,
    structures: Annotated[
        str | None, typer.Option(help="footprints, GeoJSON; unset: the mask is one structure")
    ] = None,
    class_name: Annotated[
        Literal["crack", "rust"] | None, typer.Option("--class", help="what 255 is in a mask of 0 and 255")
    ] = None,
    probability: Annotated[
        str | None,
        typer.Option(help="probability of crack on the same grid, one band, uint8 (255 is 1) or float"),
    ] = None,
    grow_above: Annotated[
        float | None,
        typer.Option(help="let cracks grow through connected pixels of at least this probability; unset: not"),
    ] = None,
    results: ResultsOption = None,
    gsd_mm: GsdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure, grade and report a mask that somebody else made; no model is used."""
    from flows.prefect_home import prefect_api

    if grow_above is not None and probability is None:
        cause = "--grow-above needs the probability to grow into, got none"
        raise UsageError("E_OPTIONS", "measure", cause, "give --probability FILE, or leave --grow-above out")
    chosen = overrides(results=results, gsd_mm=gsd_mm, grow_cracks_above=grow_above)
    settings = settings_of(**chosen)
    log_to_stderr(settings)
    started = time.monotonic()
    with prefect_api(home=settings.home, meanwhile="flows.measure_mask"):
        from flows.measure_mask import measure_mask

        with told_when_out_of_time(mask, limit_s=settings.run_timeout_s, setting="SPANSCAN_RUN_TIMEOUT_S"):
            published = measure_mask(
                mask,
                image=image,
                structures=structures,
                class_name=class_name,
                probability=probability,
                settings=chosen,
            )
    if as_json:
        print_json({**asdict(published), "seconds": round(time.monotonic() - started, 1)})
        return
    for line in published.summary_lines():
        typer.echo(line)
    typer.echo(published.results)


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

    settings = settings_of(**overrides(model=model, gsd_mm=gsd_mm, skip_rejected=skip_rejected))
    log_to_stderr(settings)
    made = plan_inspection(discover_survey(survey, settings), settings)
    if as_json:
        print_json(plan_record(made))
        return
    for line in plan_lines(made):
        typer.echo(line)


def check(
    survey: Annotated[
        str, typer.Argument(help="s3://bucket/prefix/, a folder, or one raster", show_default=False)
    ] = "",
    model: ModelOption = None,
    gsd_mm: GsdOption = None,
    explain: Annotated[
        str | None, typer.Option(help="print cause and remedy of a code, or of `all`, and check nothing")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Validate a survey without inspecting it: a verdict per raster and structure."""
    if explain is not None:
        from flows.explain import explain_lines

        for line in explain_lines(explain):
            typer.echo(line)
        return
    if not survey:
        raise UsageError("E_OPTIONS", "check", "a survey must be named, got none", "name it, or give --explain CODE")
    from flows.check_survey import check_survey
    from flows.check_text import check_lines, check_record

    settings = settings_of(**overrides(model=model, gsd_mm=gsd_mm))
    log_to_stderr(settings)
    report = check_survey(survey, settings)
    if as_json:
        print_json(check_record(report))
    else:
        for line in check_lines(report):
            typer.echo(line)
    if not report.accepted:
        raise typer.Exit(3)
