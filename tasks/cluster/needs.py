"""What every worker of a cluster must reach before a run begins: results, rasters, a staging folder, the weights."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from distributed import Client

from segmentation.errors import RunFailed, SpanscanError
from segmentation.models.catalogue import locate
from tasks.cluster.watch import ClusterWatch
from tasks.storage_local import file_sha256

_MOST_TOLD: Final = 5

_REMEDIES: Final = {
    "E_RESULTS_NOT_SHARED": "give --results s3://bucket/prefix, or a folder that all workers have at the same path",
    "E_SOURCE_NOT_SHARED": "upload the survey to S3, or to a folder that all workers have at the same path",
    "E_STAGING": "set SPANSCAN_HOME, for the command, to a path that every worker can write to",
    "E_MODEL": "install the same weights on every worker at the same path",
}


@dataclass(frozen=True, slots=True)
class WorkerNeeds:
    """Addresses that a worker must reach as the client does."""

    results_uri: str
    """Where the run writes: ``s3://…`` or a folder."""
    source_uris: tuple[str, ...]
    """The rasters: ``s3://…``, staged by each worker for itself, or files that are read in place."""
    staging_dir: Path
    """Where a worker stages."""
    model_path: str | None = None
    """Name or path of the weights; None where no model is run."""
    model_sha256: str = ""
    """What their file must hold."""


def refuse_workers_without(client: Client, needs: WorkerNeeds) -> None:
    """Raise RunFailed where a worker of a cluster cannot work at the run, naming it; does nothing in one process.

    E_RESULTS_NOT_SHARED, E_SOURCE_NOT_SHARED, E_STAGING, E_MODEL: weights that cannot be read there, or are others.
    """
    watch = ClusterWatch(client, resources={})
    if not watch.is_remote:
        return
    mark = _marked(needs.results_uri)
    try:
        with watch.telling():
            told = client.run(amiss, needs, mark, on_error="return")
    finally:
        if mark is not None:
            mark.unlink(missing_ok=True)
    found = {address: what if isinstance(what, tuple) else ("E_WORKER", repr(what)) for address, what in told.items()}
    for code in (*_REMEDIES, "E_WORKER"):
        concerned = [f"{address}: {cause}" for address, (wrong, cause) in found.items() if wrong == code]
        if concerned:
            raise _refusal(code, concerned, needs)


def amiss(needs: WorkerNeeds, mark: Path | None) -> tuple[str, str]:
    """What this worker cannot do, as code and cause; empty where it can do all. `mark` was left in the results."""
    if mark is not None:
        try:
            own = mark.with_name(f".spanscan-{secrets.token_hex(8)}.tmp")
            own.write_bytes(mark.read_bytes())
            own.unlink()
        except OSError as error:
            return "E_RESULTS_NOT_SHARED", str(error)
    for uri in needs.source_uris:
        if not uri.startswith("s3://") and not Path(uri).is_file():
            return "E_SOURCE_NOT_SHARED", f"no file {uri}"
    if any(uri.startswith("s3://") for uri in needs.source_uris):
        try:
            needs.staging_dir.mkdir(parents=True, exist_ok=True)
            own = needs.staging_dir / f".spanscan-{secrets.token_hex(8)}.tmp"
            own.write_bytes(b"")
            own.unlink()
        except OSError as error:
            return "E_STAGING", str(error)
    return _other_weights(needs)


def _other_weights(needs: WorkerNeeds) -> tuple[str, str]:
    if needs.model_path is None:
        return "", ""
    try:
        sha256 = file_sha256(locate(needs.model_path))
    except (OSError, SpanscanError) as error:
        return "E_MODEL", getattr(error, "cause", str(error))
    if sha256 != needs.model_sha256:
        return "E_MODEL", f"sha256 must be {needs.model_sha256[:12]}, got {sha256[:12]}"
    return "", ""


def _marked(results_uri: str) -> Path | None:
    """A file in the folder of the results by which workers see that it is the same folder; None for S3."""
    if results_uri.startswith("s3://"):
        return None
    mark = Path(results_uri) / f".spanscan-{secrets.token_hex(8)}.tmp"
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_bytes(b"spanscan")
    return mark


def _refusal(code: str, concerned: Sequence[str], needs: WorkerNeeds) -> RunFailed:
    subject = {
        "E_RESULTS_NOT_SHARED": needs.results_uri,
        "E_STAGING": str(needs.staging_dir),
        "E_MODEL": needs.model_path or "",
    }.get(code, "the cluster")
    more = [f"and {len(concerned) - _MOST_TOLD} more"] if len(concerned) > _MOST_TOLD else []
    cause = f"every worker must reach it as this process does, got {'; '.join([*concerned[:_MOST_TOLD], *more])}"
    return RunFailed(code, subject, cause, _REMEDIES.get(code, "look into that worker's log"))
