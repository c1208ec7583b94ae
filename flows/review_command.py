"""The command of a person who looks a run through: review."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.command import JsonOption, log_to_stderr, overrides, print_json, settings_of
from segmentation.errors import UsageError


def review(
    run: Annotated[
        str, typer.Argument(help="results of a survey, or one run: a folder or s3://bucket/prefix", show_default=False)
    ],
    reviewer: Annotated[str | None, typer.Option(help="your name; unset: the page asks")] = None,
    host: Annotated[
        str | None, typer.Option(help="address to serve on; beyond this machine a token is asked for")
    ] = None,
    port: Annotated[int | None, typer.Option(help="port to serve on; 0: any that is free", min=0, max=65535)] = None,
    certificate: Annotated[
        Path | None, typer.Option(help="certificate chain, PEM: the page is served by HTTPS", show_default=False)
    ] = None,
    key: Annotated[Path | None, typer.Option(help="the certificate's private key, PEM", show_default=False)] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="open the page in the browser")] = False,
    issue: Annotated[bool, typer.Option("--issue", help="no page: issue the report anew with both figures")] = False,
    masks: Annotated[
        Path | None, typer.Option("--export-masks", help="no page: decisions as training masks into this folder")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Accept, reject or re-class the defects of a run on a local page; issue its report anew."""
    from flows.review import export_review, issue_review, open_in_browser, review_page

    if issue and masks is not None:
        cause = "one of --issue and --export-masks must be given at most, got both"
        raise UsageError("E_SETTING", "review", cause, "run the command twice")
    settings = settings_of(
        **overrides(
            review_host=host,
            review_port=None if port is None else str(port),
            review_certificate=None if certificate is None else str(certificate),
            review_key=None if key is None else str(key),
        )
    )
    log_to_stderr(settings)
    if issue:
        revision = issue_review(run, settings)
        if as_json:
            print_json(asdict(revision))
            return
        typer.echo(f"revision {revision.number}: {revision.decisions} of {revision.defects} defects decided on")
        typer.echo(revision.uri)
    elif masks is not None:
        exported = export_review(run, settings, out=masks)
        if as_json:
            print_json(asdict(exported))
            return
        for name, folder in exported.folders.items():
            typer.echo(f"{name}: {exported.pictures} pictures, {exported.damage_px[name]} pixels of damage")
            typer.echo(f"  spanscan train --images {folder}/images --masks {folder}/masks --class {name}")
        typer.echo(masks)
    else:
        page = review_page(run, settings, reviewer=reviewer)
        if as_json:
            print_json({"address": page.address})
        else:
            typer.echo(page.address)
        if open_browser:
            open_in_browser(page.address)
        page.run()
