"""What uploads cost: `python -m tests.benchmarks.uploads [sweep|burst|latency …]`, each with its bar.

Exit code 1 where a bar is missed. Wall times count on a machine that does nothing else.
"""

import argparse
import cProfile
import json
import os
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from flows.settings import Settings
from tasks.allocator import peak_rss_bytes
from tasks.child_process import free_port, owned_process
from tasks.s3_server import embedded_s3

SWEEP_BAR_S, SWEEP_BAR_BYTES = 60.0, 500e6
LATENCY_BAR_S = 10.0
FILES_PER_SURVEY = 20
PUBLISHED_SHARE = 0.9


@contextmanager
def filled_server(objects: int) -> Iterator[tuple[str, int]]:
    """(address, process id) of a server that holds `objects` of surveys, most of them published already."""
    command = [sys.executable, "-m", "tests.benchmarks.uploads", "--fill", str(objects), str(os.getpid())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        if process.stdout is None:
            raise ValueError("the server must be started with its output piped")
        yield f"http://127.0.0.1:{int(process.stdout.readline())}", process.pid
    finally:
        process.kill()
        process.communicate()


def fill_and_serve(objects: int, owner_pid: int) -> None:
    """In the server's own process: put objects into its memory, then serve them."""
    from moto.s3.models import s3_backends

    from flows.uploads import settings_name
    from tasks.output_files import dumped_json
    from tasks.s3_server import serve
    from tasks.uploads.completeness import Upload, UploadedFile
    from tasks.uploads.ledger import RunRecord

    backend = s3_backends["123456789012"]["aws"]
    backend.create_bucket("surveys", "us-east-1")
    settings = settings_name(Settings())
    surveys = objects // FILES_PER_SURVEY
    now = datetime.now(UTC)
    for i in range(surveys):
        files = []
        for name in [*(f"raster-{j:02d}.tif" for j in range(FILES_PER_SURVEY - 1)), "survey.json"]:
            data = b"{}" if name == "survey.json" else b""
            put = backend.put_object("surveys", f"in/survey-{i:06d}/{name}", data)
            files.append(UploadedFile(name, len(data), put.etag.strip('"'), now))
        if i < surveys * PUBLISHED_SHARE:
            content = Upload(f"survey-{i:06d}", tuple(files), now).content
            record = RunRecord(f"survey-{i:06d}", content, settings, "published", 1, run_key="0" * 16)
            backend.put_object("surveys", f"out/survey-{i:06d}/uploads/{content}.json", dumped_json(asdict(record)))
            backend.put_object("surveys", f"out/.published/survey-{i:06d}/{content}/{settings}-{record.run_key}", b"")
    _list_from_an_index(backend)
    serve(owner_pid)


def _list_from_an_index(backend: Any) -> None:
    """Have moto find a page of a listing by bisection; it goes through all keys for each page, which no S3 does."""
    plain = backend.list_objects_v2
    names: dict[str, list[str]] = {}

    def listed(bucket: Any, prefix: str, delimiter: Any, max_keys: int, **further: Any) -> Any:
        if delimiter:
            return plain(bucket, prefix, delimiter, max_keys=max_keys, **further)
        known = names.get(bucket.name, [])
        if len(known) != len(bucket.keys):
            known = names[bucket.name] = sorted(bucket.keys)
        token = further["continuation_token"]
        after = backend._pagination_tokens.get(token) if token else further["start_after"]
        start = max(bisect_left(known, prefix), bisect_right(known, after or ""))
        stop = bisect_left(known, f"{prefix}\U0010ffff")
        found = [bucket.keys[name] for name in known[start : min(stop, start + max_keys + 1)]]
        return backend._truncate_result(found, max_keys)

    backend.list_objects_v2 = listed


def sweep_listing(objects: int, cache: Path, profile: Path | None) -> dict[str, Any]:
    """Tell where each survey of a large inbox stands, in a process of its own."""
    with filled_server(objects) as (endpoint_url, server_pid):
        environment = {**os.environ, **_ENVIRONMENT, "SPANSCAN_HOME": str(cache)}
        command = [sys.executable, "-m", "tests.benchmarks.uploads", "--list", endpoint_url, str(profile or "")]
        server = psutil.Process(server_pid)
        before_s = sum(server.cpu_times()[:2])
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return {**json.loads(done.stdout.splitlines()[-1]), "server_cpu_s": sum(server.cpu_times()[:2]) - before_s}


_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "embedded",
    "AWS_SECRET_ACCESS_KEY": "embedded",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def list_inbox(endpoint_url: str, profile: str) -> dict[str, Any]:
    """List and tell all states as sweeps and `spanscan status` do; wall and CPU seconds, and those of listing alone."""
    from flows.status_uploads import standings
    from flows.uploads import inbox_of
    from tasks.uploads.listing import uploads

    inbox = inbox_of(Settings(s3_endpoint_url=endpoint_url, inbox="s3://surveys/in", results="s3://surveys/out"))
    profiler = cProfile.Profile() if profile else None
    started, cpu = time.monotonic(), time.process_time()
    with profiler or nullcontext():
        found = [(len(upload.files), where.state) for upload, where in standings(inbox)]
    swept = {"sweep_s": time.monotonic() - started, "sweep_cpu_s": time.process_time() - cpu}
    peak_bytes = peak_rss_bytes()
    if profiler is not None:
        profiler.dump_stats(profile)
    started, cpu = time.monotonic(), time.process_time()
    sum(1 for _ in uploads(inbox.storage))
    return {
        "objects": sum(files for files, _ in found),
        "surveys": len(found),
        "published": sum(state == "published" for _, state in found),
        "due": sum(state == "complete" for _, state in found),
        **swept,
        "list_s": time.monotonic() - started,
        "list_cpu_s": time.process_time() - cpu,
        "peak_rss_bytes": peak_bytes,
    }


def burst_of(uploads: int, kills: int, cache: Path) -> dict[str, Any]:
    """A burst of uploads, told 1 to 3 times and shuffled, with watchers killed as they go on; each run carried out."""
    from flows.prefect_home import prefect_api
    from tests.flows.bursts import burst
    from tests.flows.inboxes import apply_recording_deployment, make_inbox

    started = time.monotonic()
    with embedded_s3() as server:
        os.environ.update(server.environment)
        with prefect_api(home=cache):
            apply_recording_deployment()
            done = burst(make_inbox(server, f"burst-{os.getpid()}"), uploads=uploads, kills=kills, seed=5)
    return {
        "uploads": uploads,
        "kills": kills,
        "killed_at": done.killed_at,
        "messages": done.messages,
        "recorded": len(done.runs),
        "twice": sum(count > 1 for count in (done.runs | done.carried_out).values()),
        "lost": uploads - len(done.runs & done.carried_out),
        "messages_left": done.messages_left,
        "seconds": time.monotonic() - started,
    }


def latency_of(uploads: int, cache: Path) -> dict[str, Any]:
    """Seconds from the end of an upload to the start of its run, by an idle `spanscan serve` and the real flow."""
    from tests.flows.inboxes import make_inbox

    waits: list[float] = []
    with embedded_s3() as server, tempfile.TemporaryDirectory() as folder:
        os.environ.update(server.environment)
        inbox = make_inbox(server, f"latency-{os.getpid()}")
        port = free_port()
        environment = {
            **os.environ, **server.environment, "SPANSCAN_HOME": str(cache), "SPANSCAN_SERVE_PORT": str(port),
            **{f"SPANSCAN_{name.upper()}": str(value) for name, value in inbox.settings.items()},
        }  # fmt: skip
        log = Path(folder) / "log"
        command = [sys.executable, "-P", "-m", "flows", "serve"]
        with owned_process(command, environment=environment, log_path=log) as process:
            os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
            _wait(lambda: "dashboard" in log.read_text(), process, log)
            time.sleep(10)
            for i in range(uploads):
                # Refused at once: the run that is timed is short, the way to it is that of any other.
                inbox.upload(f"survey-{i}", {"a.tif": b"", "survey.json": b"{}"})
                ended = time.time()
                _wait(lambda i=i: _started(inbox, f"survey-{i}"), process, log)  # type: ignore[misc]
                waits.append(_started(inbox, f"survey-{i}") - ended)
                _wait(lambda: all(run.state.is_final() for run in inbox.flow_runs()), process, log)
    return {"uploads": uploads, "worst_s": max(waits), "median_s": median(waits), "all_s": waits}


def _started(inbox: Any, survey: str) -> float:
    runs = [run for run in inbox.flow_runs() if run.parameters["survey"].endswith(f"/{survey}/") and run.start_time]
    return float(runs[0].start_time.timestamp()) if runs else 0.0


def _wait(what: Any, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 300
    while not what():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"it must go on, got:\n{log.read_text()[-2000:]}")
        time.sleep(0.5)


def verdicts(rows: dict[str, dict[str, Any]]) -> list[str]:
    """What does not hold, one sentence each."""
    failed = []
    if "sweep" in rows:
        row = rows["sweep"]
        if row["sweep_s"] > SWEEP_BAR_S:
            failed.append(f"{row['objects']} objects must be swept in {SWEEP_BAR_S:g} s, got {row['sweep_s']:.1f}")
        if row["peak_rss_bytes"] > SWEEP_BAR_BYTES:
            failed.append(
                f"the peak must stay below {SWEEP_BAR_BYTES / 1e6:g} MB, got {row['peak_rss_bytes'] / 1e6:.0f}"
            )
    if "burst" in rows and (rows["burst"]["twice"] or rows["burst"]["lost"] or rows["burst"]["messages_left"]):
        failed.append(f"each upload of the burst must be recorded once, got {rows['burst']}")
    if "latency" in rows and rows["latency"]["worst_s"] > LATENCY_BAR_S:
        failed.append(
            f"a run must start within {LATENCY_BAR_S:g} s of its upload, got {rows['latency']['worst_s']:.1f}"
        )
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for, print it, and say whether it held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=["sweep", "burst", "latency"])
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--uploads", type=int, default=500)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--latencies", type=int, default=10, help="uploads one after the other, each timed")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "spanscan-benchmark-uploads")
    parser.add_argument("--fill", nargs=2, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--profile", type=Path, help="where to write what our process spends in a sweep (cProfile)")
    parser.add_argument("--list", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.fill:
        fill_and_serve(*options.fill)
        return 0
    if options.list:
        sys.stdout.write(json.dumps(list_inbox(*options.list)) + "\n")
        return 0
    options.cache.mkdir(parents=True, exist_ok=True)
    rows: dict[str, dict[str, Any]] = {}
    for what in options.what:
        match what:
            case "sweep":
                rows[what] = sweep_listing(options.objects, options.cache, options.profile)
            case "burst":
                rows[what] = burst_of(options.uploads, options.kills, options.cache)
            case "latency":
                rows[what] = latency_of(options.latencies, options.cache)
        sys.stdout.write(f"{what}: {json.dumps(rows[what])}\n")
        sys.stdout.flush()
    failed = verdicts(rows)
    sys.stdout.write("".join(f"FAILED: {sentence}\n" for sentence in failed) or "held\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
