"""Where a run lies that is to be reviewed, and where its review is kept: beside it, never in it."""

import json
from dataclasses import dataclass
from typing import Any, Final

from segmentation.errors import InputRejected
from tasks.mask_store import MaskStore
from tasks.publish import MANIFEST, POINTER
from tasks.storage import Storage, open_storage, printable

_RUNS: Final = "runs"


@dataclass(frozen=True, slots=True)
class ReviewPlace:
    """A published run and the place of its review."""

    run: Storage
    """The run's folder, which is only read."""
    review: Storage
    """``<results>/<survey>/reviews/<run_key>``; beside a folder that holds a run alone, ``<folder>-reviews/<key>``."""
    run_key: str
    survey_id: str
    run_from_revision: str
    """The run's folder as seen from a revision of its review, for links."""
    endpoint_url: str | None
    region: str | None

    @property
    def is_in_survey(self) -> bool:
        """Whether the run lies where `spanscan inspect` published it, below its survey."""
        return self.run_from_revision.endswith(f"/{_RUNS}/{self.run_key}")

    @property
    def masks(self) -> MaskStore:
        """The run's masks."""
        return MaskStore(self.run.uri("masks.zarr"), self.endpoint_url, self.region)


def find_run(address: str, *, endpoint_url: str | None, region: str | None) -> ReviewPlace:
    """The run at an address: of a survey the published one, of a run itself.

    `address` is a folder or ``s3://bucket/prefix``. Raises InputRejected E_NO_RUN where neither lies there.
    """
    address = address.rstrip("/")
    there = open_storage(address, endpoint_url=endpoint_url, region=region)
    if there.exists(POINTER):
        pointer = _json(there, POINTER)
        address = f"{address}/{pointer['run']}"
        there = there.child(pointer["run"])
    if not there.exists(MANIFEST):
        cause = f"a survey's results with {POINTER} or a run with {MANIFEST} must lie there, got neither"
        raise InputRejected("E_NO_RUN", printable(address), cause, "name what `spanscan inspect` printed last")
    manifest = _json(there, MANIFEST)
    key = str(manifest["run_key"])
    folder = there.uri("").rstrip("/")
    parent, _, name = folder.rpartition("/")
    is_in_survey = (name, parent.rpartition("/")[2]) == (key, _RUNS)
    base = parent.rpartition("/")[0] if is_in_survey else parent
    beside = f"{base}/reviews/{key}" if is_in_survey else f"{base}/{name}-reviews/{key}"
    return ReviewPlace(
        run=there,
        review=open_storage(beside, endpoint_url=endpoint_url, region=region),
        run_key=key,
        survey_id=str(manifest["survey"]["id"]),
        run_from_revision=f"../../../../{_RUNS}/{key}" if is_in_survey else f"../../../../{name}",
        endpoint_url=endpoint_url,
        region=region,
    )


def _json(storage: Storage, key: str) -> Any:
    try:
        return json.loads(storage.read(key))
    except ValueError as error:
        cause = f"the file must be JSON, got {error}"
        raise InputRejected("E_NO_RUN", storage.uri(key), cause, "publish the run again") from error
