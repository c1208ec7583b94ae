"""What runs on a worker around each item: light to import, since the scheduler must know it too."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from distributed import get_worker
from distributed.protocol.pickle import loads

from segmentation.errors import SpanscanError
from tasks.cluster.versions import Versions, differences_here, refuse_differences


@dataclass(frozen=True, slots=True)
class Call:
    """What all items of one stage have in common; travels to each worker once."""

    work: Callable[[Any, Any], Any]
    """Called with an item and `shared`."""
    shared: Any
    """What every item needs."""
    versions: Versions | None
    """What the client has installed; None where the workers are of its own process."""


def unpacked(packed: bytes) -> Any:
    """The object that was packed: as bytes it passes the scheduler, which then imports neither torch nor GDAL."""
    return loads(packed)


def worked(item: bytes, call: Call) -> Any:
    """Work one packed item; a failure says on which worker of a cluster it was."""
    if call.versions is None:
        return call.work(unpacked(item), call.shared)
    address = get_worker().address
    # One that came after the run began was not looked at before.
    refuse_differences(address, {address: differences_here(call.versions)})
    try:
        return call.work(unpacked(item), call.shared)
    except SpanscanError as error:
        told = type(error)(error.code, error.subject, f"{error.cause} (on the worker {address})", error.remedy)
        raise told from error
    except Exception as error:
        error.add_note(f"on the worker {address}")
        raise
