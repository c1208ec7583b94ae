"""Mutated headers, GeoJSON and events against the parsers that meet them first.

``python -m tests.scorecard.fuzz headers|geojson|events --count 100000 --seed 1`` runs in a child process whose memory
and whose time for one input are bounded; it prints the first input that breaks a rule, as base64, and ends with 1.
"""

import argparse
import base64
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from segmentation.errors import InputRejected
from tasks.raster_checks import check_header
from tasks.structures_file import read_structures
from tasks.uploads.events import MalformedEvent, newest_per_key, parse_notification
from tests.tasks.surveys import LIMITS, write_cog, write_raster

LONGEST_S: Final = 2.0
MOST_BYTES: Final = 500_000_000
_OUTSIDE_VALUES = (0, 1, 2, 127, 128, 255)
_WORDS = (b"0", b"-1", b"1e400", b"NaN", b"null", b"true", b'""', b"[]", b"{}", b'"\\ud800"', b"1" * 400, b"[" * 2000)

Try = Callable[[bytes], None]


def _header(folder: Path) -> Try:
    path = folder / "fuzzed.tif"

    def attempt(data: bytes) -> None:
        path.write_bytes(data)
        try:
            check_header(path, "fuzzed.tif", LIMITS)
        except InputRejected:
            return

    return attempt


def _geojson(data: bytes) -> None:
    try:
        found = read_structures(data, name="structures.geojson", limits=LIMITS)
    except InputRejected:
        return
    if not all((one.footprint is None) == (one.problem is not None) for one in found):
        raise AssertionError("a structure without a footprint must say why")


def _event(data: bytes) -> None:
    try:
        found = parse_notification(data.decode("utf-8", "surrogateescape"))
    except MalformedEvent:
        return
    newest_per_key(found.changes)
    for change in found.changes:
        if not change.bucket or not change.key:
            raise AssertionError("a change must name its object")


def _headers_seeds(folder: Path) -> list[bytes]:
    """A few kilobytes each: all of a small raster, or what comes before the pixels."""
    options: list[dict[str, Any]] = [
        {},
        {"bigtiff": "YES"},
        {"endianness": "BIG", "tiled": False, "blockxsize": None, "blockysize": 7},
        {"nodata": 0, "sparse_ok": True},
        {"compress": "deflate", "interleave": "band"},
    ]
    for number, option in enumerate(options):
        write_raster(folder / f"seed-{number}.tif", **option)
    write_cog(folder / "seed-cog.tif")
    return [path.read_bytes()[:6000] for path in sorted(folder.glob("seed-*.tif"))]


def _geojson_seeds(_: Path) -> list[bytes]:
    square = [[-92.0, 46.0], [-91.9, 46.0], [-91.9, 46.1], [-92.0, 46.1], [-92.0, 46.0]]
    geometry = {"type": "Polygon", "coordinates": [square]}
    features = [
        {"type": "Feature", "id": 1, "properties": {"id": "a", "name": "Pier é", "kind": "pier"}, "geometry": geometry},
        {
            "type": "Feature",
            "properties": {"id": 2.0, "component_of": "a"},
            "geometry": {"type": "MultiPolygon", "coordinates": [[square], [square]]},
        },
    ]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::4326"}}
    whole = {"type": "FeatureCollection", "crs": crs, "features": features}
    return [json.dumps(document).encode() for document in (whole, features[0], geometry)]


def _event_seeds(_: Path) -> list[bytes]:
    found = {"key": "in/bridge+7/a%2Btif.tif", "sequencer": "0055AED6DCD90281E5", "versionId": "v1"}
    record = {
        "eventName": "ObjectCreated:Put",
        "eventTime": "2025-05-01T10:00:00.000Z",
        "s3": {"bucket": {"name": "inbox"}, "object": found},
    }
    direct = {"Records": [record, {**record, "eventName": "ObjectRemoved:Delete"}]}
    bridge = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "time": "2025-05-01T10:00:00Z",
        "detail": {"bucket": {"name": "inbox"}, "object": {"key": "a.tif", "version-id": "v"}},
    }
    wrapped = {"Type": "Notification", "Message": json.dumps(direct)}
    return [json.dumps(one).encode() for one in (direct, bridge, wrapped, {"Event": "s3:TestEvent"})]


TARGETS: Final[dict[str, tuple[Callable[[Path], list[bytes]], Callable[[Path], Try]]]] = {
    "headers": (_headers_seeds, _header),
    "geojson": (_geojson_seeds, lambda _: _geojson),
    "events": (_event_seeds, lambda _: _event),
}


def mutated(rng: random.Random, data: bytes) -> bytes:
    """Some bytes changed, cut, doubled, moved, or replaced by a word that parsers stumble over."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        if not changed:
            break
        at = min(int(rng.expovariate(1 / 300)), len(changed) - 1) if rng.random() < 0.5 else rng.randrange(len(changed))
        kind = rng.randrange(7)
        if kind == 0:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[at] = rng.choice(_OUTSIDE_VALUES)
        elif kind == 2:
            changed[at : at + 4] = rng.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, rng.getrandbits(32))).to_bytes(4, "little")
        elif kind == 3:
            del changed[at : at + rng.randrange(1, 40)]
        elif kind == 4:
            other = rng.randrange(len(changed))
            changed[at:at] = changed[other : other + rng.randrange(1, 40)]
        elif kind == 5:
            changed[at : at + rng.randrange(0, 12)] = rng.choice(_WORDS)
        else:
            del changed[at:]
    return bytes(changed)


def run(target: str, *, count: int, seed: int) -> int:
    """How many inputs were accepted or refused; raises what an input makes the parser raise, with the input."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        seeds_of, attempt_of = TARGETS[target]
        seeds, attempt = seeds_of(Path(name)), attempt_of(Path(name))
        for done in range(count):
            data = mutated(rng, rng.choice(seeds))
            began_s = time.process_time()
            signal.setitimer(signal.ITIMER_REAL, 30 * LONGEST_S)  # a hang that takes no processor
            try:
                attempt(data)
            except BaseException as error:
                error.add_note(f"{target}, input {done} of seed {seed}: {base64.b64encode(data).decode()}")
                raise
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            took_s = time.process_time() - began_s
            if took_s > LONGEST_S:
                raise TimeoutError(f"{target}, input {done}: {took_s:.1f} s: {base64.b64encode(data).decode()}")
    return count


def run_in_child(target: str, *, count: int, seed: int) -> subprocess.CompletedProcess[str]:
    """`run` in a process with bounds on its memory and its time."""
    command = [sys.executable, "-m", "tests.scorecard.fuzz", target, "--count", str(count), "--seed", str(seed)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    root = Path(__file__).parents[2]
    return subprocess.run([*command, "--here"], cwd=root, env=environment, capture_output=True, text=True, check=False)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--here", action="store_true", help="in this process, which is bounded first")
    options = parser.parse_args()
    if not options.here:
        done = run_in_child(options.target, count=options.count, seed=options.seed)
        sys.stdout.write(done.stdout + done.stderr)
        return done.returncode
    own_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (own_bytes + MOST_BYTES, own_bytes + MOST_BYTES))
    began_s = time.process_time()
    count = run(options.target, count=options.count, seed=options.seed)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    seconds = time.process_time() - began_s
    told = f"{options.target}: {count} inputs of seed {options.seed}, {seconds:.0f} CPU-s, peak {peak} MB"
    sys.stdout.write(f"{told}, none broke a rule\n")
    return 0 if peak * 1024**2 < MOST_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
