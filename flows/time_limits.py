"""How long a flow may take, and how long it waits before it is tried again.

A run that hangs holds the limit of one run at a time, and with it every survey behind it. So each flow ends by itself,
before its work pool would end it: a run that Prefect ends can still write down why, one whose container is taken away
cannot. The limits are plain hours and not hours per gigapixel: what they must tell apart is a run that goes on from one
that does not, and an inspection that is cut short goes on from its finished blocks.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

from segmentation.errors import RunFailed


def spread_s(least_s: int) -> int:
    """Seconds before another try: `least_s` and up to half of it more, drawn once for each process.

    Prefect's flows know one delay and no jitter; each run of a deployment is a process of its own.
    """
    return least_s + random.randint(0, least_s // 2)


@contextmanager
def told_when_out_of_time(subject: str, *, limit_s: float, setting: str) -> Iterator[None]:
    """Raise RunFailed E_TIMEOUT where the flow that is called within has used up its time."""
    from prefect.flow_engine import FlowRunTimeoutError

    try:
        yield
    except FlowRunTimeoutError as error:
        raise RunFailed(
            "E_TIMEOUT",
            subject,
            f"the run must end within {limit_s:g} s, got no end",
            f"run it again, finished blocks are kept, or raise {setting}",
        ) from error
