"""The commands of the inbox: watch, sweep, serve, status."""

from typing import Annotated

import typer

from flows.command import JsonOption, ModelOption, ResultsOption, log_to_stderr, overrides, print_json, settings_of

InboxOption = Annotated[str | None, typer.Option(help="where surveys are uploaded: s3://bucket/prefix or a folder")]
QueueOption = Annotated[str | None, typer.Option(help="URL of the SQS queue of the inbox's notifications")]


def watch(
    inbox: InboxOption = None,
    queue_url: QueueOption = None,
    results: ResultsOption = None,
    model: ModelOption = None,
    for_s: Annotated[float | None, typer.Option(help="end after so many seconds", min=1)] = None,
    as_json: JsonOption = False,
) -> None:
    """Turn notifications of uploads into runs of the deployment inspect-survey, until it is stopped."""
    from flows.prefect_home import required_prefect_api

    chosen = overrides(inbox=inbox, queue_url=queue_url, results=results, model=model)
    settings = settings_of(**chosen)
    log_to_stderr(settings)
    with required_prefect_api("watch"):
        import threading
        from dataclasses import asdict

        from flows.watch_uploads import watch as watch_queue

        watched = watch_queue(settings, stop=threading.Event(), for_s=for_s)
        if as_json:
            print_json(asdict(watched))
        else:
            typer.echo(f"{watched.messages} messages, {watched.recorded} runs recorded")


def sweep(
    inbox: InboxOption = None,
    results: ResultsOption = None,
    model: ModelOption = None,
    again: Annotated[
        bool, typer.Option("--again", help="inspect anew what was published with another model or other settings")
    ] = False,
    resume: Annotated[
        list[str] | None, typer.Option(help="name of an upload whose run was cancelled, to be inspected after all")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the inbox once and have each upload inspected that is whole and has no run."""
    from flows.prefect_home import required_prefect_api

    settings = settings_of(**overrides(inbox=inbox, results=results, model=model))
    log_to_stderr(settings)
    with required_prefect_api("sweep"):
        from dataclasses import asdict

        from flows.sweep_uploads import sweep as sweep_inbox

        swept = sweep_inbox(settings, again=again, resume=resume or ())
        if as_json:
            print_json(asdict(swept))
            return
        states = ", ".join(f"{count} {state}" for state, count in swept.states.items()) or "nothing"
        typer.echo(f"{swept.surveys} surveys ({states}), {swept.recorded} runs recorded")


def serve(
    inbox: InboxOption = None,
    queue_url: QueueOption = None,
    results: ResultsOption = None,
    model: ModelOption = None,
    host: Annotated[str | None, typer.Option(help="address of the dashboard")] = None,
    port: Annotated[int | None, typer.Option(help="port of the dashboard", min=1, max=65535)] = None,
) -> None:
    """Keep inspecting what is uploaded: Prefect server, schedules, watcher and worker in one command."""
    import os

    given = overrides(inbox=inbox, queue_url=queue_url, results=results, model=model, serve_host=host)
    if port is not None:
        given["serve_port"] = port
    settings = settings_of(**given)
    log_to_stderr(settings)
    # The runs are processes of their own: they take these settings from the environment.
    os.environ.update({f"SPANSCAN_{name.upper()}": str(value) for name, value in given.items()})
    from flows.serve import run_serve

    run_serve(settings)


def status(inbox: InboxOption = None, results: ResultsOption = None, as_json: JsonOption = False) -> None:
    """Show every survey of the inbox and where it stands, from the storage alone."""
    from flows.status_text import show_status
    from flows.status_uploads import status_of, status_record

    settings = settings_of(**overrides(inbox=inbox, results=results))
    log_to_stderr(settings)
    found = status_of(settings)
    if as_json:
        print_json({"surveys": [status_record(one) for one in found]})
    else:
        show_status(found)
