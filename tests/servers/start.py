"""Start S3 servers for tests and hold them: ``python -m tests.servers.start [moto] [ministack] [rgw]``.

One line of JSON on stdout for each that runs (name, endpoint, environment, process ids), one on stderr for each that is
not installed. They end with this process: at Ctrl-C, at SIGTERM, when standard input closes, and when it is killed.
"""

import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict

from tests.servers.ministack import ministack
from tests.servers.moto import moto
from tests.servers.rgw import ceph_rgw
from tests.servers.running import NotInstalledError, RunningS3

SERVERS: Mapping[str, Callable[[], AbstractContextManager[RunningS3]]] = {
    "moto": moto,
    "ministack": ministack,
    "rgw": ceph_rgw,
}


def main(names: Sequence[str]) -> int:
    """Exit status: 0, or 2 where a name is unknown, or 3 where none of the servers is installed."""
    unknown = sorted(set(names) - set(SERVERS))
    if unknown:
        sys.stderr.write(f"servers must be among {', '.join(SERVERS)}, got {', '.join(unknown)}\n")
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    count = 0
    try:
        with ExitStack() as running:
            for name in names or SERVERS:
                try:
                    server = running.enter_context(SERVERS[name]())
                except NotInstalledError as error:
                    sys.stderr.write(f"{name} is left out: {error}\n")
                    continue
                count += 1
                sys.stdout.write(json.dumps(asdict(server)) + "\n")
                sys.stdout.flush()
            if count:
                sys.stdin.read()
    except KeyboardInterrupt:
        pass
    return 0 if count else 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
