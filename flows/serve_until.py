"""Keeps Prefect's runner going until a signal, then ends it and its runs within a bounded time.

Prefect's own answer to SIGTERM is not used. It waits, inside the signal handler, for work on another thread that needs
the event loop which the handler holds up, and so never ends where a run is under way (Prefect 3.8, `Runner.stop`). It
would also call the runs cancelled, which nobody asked for: a run that is cut short has crashed and goes on later.
"""

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from prefect.runner import Runner

log = logging.getLogger("spanscan.serve")

_RUNS_S = 15.0
"""For runs to write down that they were interrupted; then they are killed."""
_RUNNER_S = 10.0
_LIMIT_S = 45.0
"""For all of the end, the Prefect server's included. Then this process is gone, whatever still holds it."""
_POLL_S = 0.2


def run_until_told(runner: "Runner", *, on_told: Callable[[], None]) -> None:
    """Run until SIGINT or SIGTERM, call `on_told` at once, and end the runs under way and the runner.

    Only in the main thread. From the signal on this process lasts `_LIMIT_S` seconds at most; a second signal ends it
    at once. Raises KeyboardInterrupt after SIGINT, and what the runner raises where it ends by itself.
    """
    if asyncio.run(_until_told(runner, on_told)) == signal.SIGINT:
        raise KeyboardInterrupt


async def _until_told(runner: "Runner", on_told: Callable[[], None]) -> signal.Signals:
    loop = asyncio.get_running_loop()
    told: asyncio.Future[signal.Signals] = loop.create_future()
    before = {child.pid for child in psutil.Process().children()}
    serving = asyncio.ensure_future(runner.start())
    await asyncio.sleep(0)  # the runner takes SIGTERM for itself in its first step

    def hear(number: signal.Signals) -> None:
        if told.done():
            os._exit(_exit_code(number))
        told.set_result(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, hear, number)
    either: set[asyncio.Future[Any]] = {serving, told}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if not told.done():
        serving.result()
        raise RuntimeError("Prefect's runner must go on until a signal, got an end without a failure")
    _end_anyway(told.result())
    # What fails from here on fails because it ends.
    logging.getLogger("prefect").setLevel(logging.CRITICAL + 1)
    on_told()
    await _end_runs(before)
    serving.cancel()
    await asyncio.wait({serving}, timeout=_RUNNER_S)
    if serving.done() and not serving.cancelled():
        serving.exception()
    return told.result()


async def _end_runs(before: set[int]) -> None:
    """Ask the runs under way to end, those that begin meanwhile too; kill what is left."""
    deadline = time.monotonic() + _RUNS_S
    asked: set[int] = set()
    while runs := [child for child in psutil.Process().children() if _is_alive(child) and child.pid not in before]:
        late = time.monotonic() > deadline
        for run in runs:
            with suppress(psutil.Error):
                if late:
                    run.kill()
                elif run.pid not in asked:
                    asked.add(run.pid)
                    run.terminate()
        if time.monotonic() > deadline + _POLL_S * 10:
            return
        await asyncio.sleep(_POLL_S)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _end_anyway(number: signal.Signals) -> None:
    """Leave this process when its time is over; its guard then ends what it has started."""

    def leave() -> None:
        log.warning("it did not end within %.0f s of the signal and is cut short", _LIMIT_S)
        os._exit(_exit_code(number))

    limit = threading.Timer(_LIMIT_S, leave)
    limit.daemon = True
    limit.start()


def _exit_code(number: signal.Signals) -> int:
    """As a process that ends in order would: 130 after Ctrl-C, 0 where it was told to end."""
    return 130 if number == signal.SIGINT else 0
