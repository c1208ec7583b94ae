"""The commands of change over time: compare, history."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.command import JsonOption, ResultsOption, log_to_stderr, overrides, print_json, settings_of
from segmentation.errors import InputRejected

_RUN = "id of a published survey, or the address of a survey's or run's results"


def compare(
    older: Annotated[str, typer.Argument(help=_RUN, show_default=False)],
    newer: Annotated[str, typer.Argument(help=_RUN, show_default=False)],
    results: ResultsOption = None,
    out: Annotated[
        str | None, typer.Option(help="folder for the comparison; unset: beside the newer survey's results")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what has changed between two published surveys of the same structures."""
    from flows.published_comparison import compare_published
    from tasks.compare.page import counts_text, registration_text

    settings = settings_of(**overrides(results=results))
    log_to_stderr(settings)
    made = compare_published(older, newer, settings, out=out)
    if as_json:
        structures = [
            {
                "id": one["structure"]["id"],
                "name": one["structure"]["name"],
                "counts": one["counts"],
                "registration": one["registration"],
                "not_compared": one["not_compared"],
            }
            for one in made.record["structures"]
        ]
        print_json({"comparison": made.uri, "already_there": made.already_there, "structures": structures})
        return
    for one in made.record["structures"]:
        refused = one["not_compared"]
        told = f"NOT COMPARED: {refused['code']}: {refused['cause']}" if refused else counts_text(one["counts"])
        typer.echo(f"{one['structure']['name']}: {told}")
        if not refused:
            typer.echo(f"  {registration_text(one['registration'])}")
    typer.echo(made.uri)


def history(
    structure: Annotated[str, typer.Argument(help="id or name of the structure", show_default=False)],
    results: ResultsOption = None,
    out: Annotated[Path, typer.Option(help="folder for growth.png and growth.csv")] = Path("spanscan-history"),
    as_json: JsonOption = False,
) -> None:
    """List every survey of a structure with its grades, and write how each of its defects has grown."""
    from tasks.compare.history import growth_table, history_of
    from tasks.compare.history_picture import growth_png
    from tasks.compare.previous import survey_runs
    from tasks.layers.csv_table import write_csv
    from tasks.storage import open_storage

    settings = settings_of(**overrides(results=results))
    log_to_stderr(settings)
    address = {"endpoint_url": settings.s3_endpoint_url, "region": settings.s3_region}
    found = history_of(structure, list(survey_runs(open_storage(settings.results, **address), sharing=None, **address)))
    if not found.surveys:
        raise InputRejected(
            "E_NO_STRUCTURE",
            structure,
            f"a published survey below {settings.results} must list it, got none that does",
            "give the id or the name of a structure as structures.geojson has it, and --results",
        )
    out.mkdir(parents=True, exist_ok=True)
    write_csv(out / "growth.csv", growth_table(found))
    (out / "growth.png").write_bytes(growth_png(found))
    if as_json:
        surveys = [asdict(survey) for survey in found.surveys]
        print_json(
            {"structure": structure, "surveys": surveys, "points": len(found.points), "out": str(out.absolute())}
        )
        return
    for number, survey in enumerate(found.surveys):
        cracks = "cracks unknown" if survey.crack_length_m is None else f"cracks {survey.crack_length_m:.2f} m"
        rust = "rust unknown" if survey.rust_area_m2 is None else f"rust {survey.rust_area_m2:.4f} m²"
        typer.echo(f"{survey.date[:10]} {survey.survey_id} (run {survey.run_key}): {cracks}, {rust}")
        for grade in survey.grades:
            typer.echo(f"  {grade}")
        if number and survey.compared_with is None:
            typer.echo("  not compared with the survey before it; run `spanscan compare` for its growth")
    typer.echo(str(out.absolute()))
