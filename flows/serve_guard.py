"""Ends what a `spanscan serve` has started once it is gone: ``python -m flows.serve_guard NAME=VALUE``."""

import sys
from contextlib import suppress

import psutil

_GRACE_S = 10.0


def marked(mark: str) -> list[psutil.Process]:
    """Processes with ``NAME=VALUE`` in their environment, this one excepted."""
    name, _, value = mark.partition("=")
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != psutil.Process().pid and process.environ().get(name) == value:
                found.append(process)
    return found


def end(mark: str) -> int:
    """Ask the marked processes to end, then make them; how many there were."""
    processes = marked(mark)
    for process in processes:
        with suppress(psutil.Error):
            process.terminate()
    for process in psutil.wait_procs(processes, timeout=_GRACE_S)[1]:
        with suppress(psutil.Error):
            process.kill()
    for process in marked(mark):  # begun meanwhile
        with suppress(psutil.Error):
            process.kill()
    return len(processes)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    end(sys.argv[1])
