"""The whole way on a sample survey of known damage: embedded S3, upload, the real flow, truth against measured."""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.table import Table

from flows.prefect_home import prefect_api
from flows.settings import Settings
from flows.truth import Comparison, compare
from tasks.publish import Published
from tasks.s3_server import embedded_s3
from tasks.sample_survey import write_sample_survey
from tasks.storage import Storage, open_storage

BUCKET = "spanscan-demo"
MEMORY_LIMIT_BYTES = 1_450_000_000
"""With the Prefect and S3 servers beside it the demo stays below 2 GB."""


def run_demo(settings: Settings, *, out: Path, seed: int) -> None:
    """Run the demo; its report, masks and data lie in `out` afterwards. Everything it started is stopped."""
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 110)
    seconds: dict[str, float] = {}
    started = time.monotonic()
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spanscan-demo-")))
        console.print("Making a sample survey: a bridge deck and a steel truss panel with known cracks and rust …")
        # A process of its own: the pictures are painted while the servers start, and its memory is given back.
        painter = stack.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn")))
        painting = painter.submit(write_sample_survey, work / "survey", seed=seed)
        s3 = stack.enter_context(embedded_s3())
        stack.enter_context(_environment(s3.environment))
        stack.enter_context(prefect_api(home=settings.home, meanwhile="flows.inspection"))
        truth = painting.result()
        painter.shutdown()
        seconds["sample survey and servers"] = time.monotonic() - started
        inbox = open_storage(f"s3://{BUCKET}/inbox/sample-bridge", endpoint_url=s3.endpoint_url, region=None)
        size = _upload(work / "survey", inbox, s3.endpoint_url)
        shutil.rmtree(work / "survey")
        seconds["upload"] = time.monotonic() - started - seconds["sample survey and servers"]
        console.print(f"Uploaded {size / 1e6:,.0f} MB to {inbox.uri('')} (embedded S3 server at {s3.endpoint_url}).")
        console.print("Inspecting it with the Prefect flow inspect-survey …")
        published = _inspect(settings, inbox.uri(""), s3.endpoint_url, work)
        seconds |= published.seconds_by_stage
        moment = time.monotonic()
        results = open_storage(f"s3://{BUCKET}/results/sample-bridge", endpoint_url=s3.endpoint_url, region=None)
        _download(results.child(f"runs/{published.run_key}"), out)
        seconds["download"] = time.monotonic() - moment
    _print_stages(console, seconds, total_s=time.monotonic() - started)
    defects = json.loads((out / "defects.geojson").read_text())
    _print_truth(console, compare(truth, published.structures, defects))
    console.print("\n" + _made(out))
    console.print(f"Open [bold]{(out / 'index.html').resolve()}[/bold] in a browser.")
    console.print(str(out.resolve()), soft_wrap=True)


def _inspect(settings: Settings, survey_uri: str, endpoint_url: str, work: Path) -> Published:
    from flows.inspect_survey import inspect_survey

    return inspect_survey(
        survey_uri,
        settings={
            "s3_endpoint_url": endpoint_url,
            "results": f"s3://{BUCKET}/results",
            "home": str(work / "home"),
            "memory_limit_bytes": min(settings.memory_limit_bytes, MEMORY_LIMIT_BYTES),
            "report_formats": [*settings.report_formats, "geojson"],  # which the truth is compared with
        },
    )


@contextmanager
def _environment(added: Mapping[str, str]) -> Iterator[None]:
    """Set variables of the AWS chain for this process, and put back what was there."""
    before = {name: os.environ.get(name) for name in added}
    os.environ.update(added)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _upload(folder: Path, inbox: Storage, endpoint_url: str) -> int:
    """Upload the survey as a team would, its manifest last; bytes."""
    import boto3

    boto3.client("s3", endpoint_url=endpoint_url).create_bucket(Bucket=BUCKET)
    files = sorted(folder.iterdir(), key=lambda path: (path.name == "survey.json", path.name))
    for path in files:
        inbox.upload(path, path.name)
    return sum(path.stat().st_size for path in files)


def _download(run: Storage, out: Path) -> None:
    """Copy the published run; what an earlier demo left in the folder is replaced."""
    marker = out / ".spanscan-demo"
    if out.exists() and marker.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    marker.touch()
    for found in run.list("", recursive=True):
        target = out / found.key
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(run.read(found.key))


def _made(out: Path) -> str:
    """What lies in the folder, in a line: its files by name, those of the structures by their number."""
    files = sorted(path.name for path in out.iterdir() if path.is_file() and not path.name.startswith("."))
    structures = sorted(path.name for path in out.glob("structures/*"))
    kinds = sorted({path.name for path in out.glob("structures/*/*")})
    return f"Made: {', '.join(files)}, masks.zarr, and for each of {len(structures)} structures {', '.join(kinds)}."


def _print_stages(console: Console, seconds: Mapping[str, float], *, total_s: float) -> None:
    table = Table(title="How long each stage took", title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    for stage, duration in seconds.items():
        table.add_row(stage, f"{duration:.1f}")
    table.add_row("[bold]all", f"[bold]{total_s:.1f}")
    console.print()
    console.print(table)


def _print_truth(console: Console, comparison: Comparison) -> None:
    """What was painted against what was measured, difference and all."""
    table = Table(title="True against measured", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in ("structure", "quantity", "true", "measured", "difference"):
        table.add_column(column, justify="left" if column in ("structure", "quantity") else "right")
    for row in comparison.rows():
        table.add_row(*row)
    console.print()
    console.print(table)
    for sentence in comparison.sentences():
        console.print(sentence)
