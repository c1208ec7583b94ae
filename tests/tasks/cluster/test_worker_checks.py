"""Workers are looked at before a run: packages, results folder, rasters, a place to stage, weights."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import pytest

from segmentation.errors import RunFailed
from segmentation.models.catalogue import card_of
from tasks.cluster import dask_client, run_each
from tasks.cluster.needs import WorkerNeeds, amiss, refuse_workers_without
from tests.tasks.cluster.processes import ROOT, dask_processes
from tests.tasks.cluster.work import failing_at_three, slow

MODEL = "spanscan-unet"


def needs_in(folder: Path) -> WorkerNeeds:
    """What a run in `folder` needs; all of it is there."""
    raster = folder / "a.tif"
    raster.touch()
    (folder / "results").mkdir(exist_ok=True)
    sources = (str(raster), "s3://inbox/bridge/b.tif")
    return WorkerNeeds(str(folder / "results"), sources, folder / "staging", MODEL, card_of(MODEL).sha256)


def mark_in(folder: Path) -> Path:
    """A client's mark in the results."""
    mark = folder / "results/.spanscan-0.tmp"
    mark.parent.mkdir(exist_ok=True)
    mark.touch()
    return mark


def staging_is_a_file(needs: WorkerNeeds) -> WorkerNeeds:
    needs.staging_dir.touch()
    return needs


@dataclass(frozen=True)
class Lack:
    """What a worker lacks, and the code that tells so."""

    id: str
    spoil: Callable[[WorkerNeeds], WorkerNeeds]
    code: str
    says: str


LACKS = (
    Lack("all-is-there", lambda needs: needs, "", ""),
    Lack(
        "a-raster-in-a-folder-of-the-client",
        lambda needs: replace(needs, source_uris=("/nowhere/a.tif",)),
        "E_SOURCE_NOT_SHARED",
        "/nowhere/a.tif",
    ),
    Lack("no-place-to-stage", staging_is_a_file, "E_STAGING", "staging"),
    Lack("no-weights", lambda needs: replace(needs, model_path="/nowhere/m.safetensors"), "E_MODEL", "must be one of"),
    Lack("other-weights", lambda needs: replace(needs, model_sha256="0" * 64), "E_MODEL", "must be 000000000000"),
    Lack("no-model-at-all", lambda needs: replace(needs, model_path=None), "", ""),
)


@pytest.mark.parametrize("case", LACKS, ids=lambda case: case.id)
def test_what_a_worker_lacks_is_told(case: Lack, tmp_path: Path) -> None:
    needs = case.spoil(needs_in(tmp_path))
    code, cause = amiss(needs, mark_in(tmp_path))
    assert code == case.code
    assert case.says in cause


def test_a_folder_of_the_same_name_without_the_clients_mark_is_another_folder(tmp_path: Path) -> None:
    code, _ = amiss(needs_in(tmp_path), tmp_path / "results/.spanscan-1.tmp")
    assert code == "E_RESULTS_NOT_SHARED"


def test_nothing_is_left_behind_by_a_look(tmp_path: Path) -> None:
    needs, mark = needs_in(tmp_path), mark_in(tmp_path)
    amiss(needs, mark)
    assert [path.name for path in (tmp_path / "results").iterdir()] == [mark.name]
    assert list((tmp_path / "staging").iterdir()) == []


@pytest.mark.slow
def test_workers_that_see_another_folder_or_other_weights_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same path leads each process to its own folder, as it does on different machines.
    for who in ("client", "worker"):
        (tmp_path / who).mkdir()
    monkeypatch.chdir(tmp_path / "client")
    shared = WorkerNeeds(str(tmp_path / "results"), (), tmp_path, MODEL, card_of(MODEL).sha256)
    unshared = replace(shared, results_uri="/proc/self/cwd/results")
    with dask_processes(tmp_path / "cluster") as cluster:
        cluster.add_worker(cwd=tmp_path / "worker")
        cluster.wait_for(1)
        with dask_client(scheduler=cluster.address, workers=1) as client:
            (worker,) = client.nthreads()
            refuse_workers_without(client, shared)
            with pytest.raises(RunFailed) as results:
                refuse_workers_without(client, unshared)
            with pytest.raises(RunFailed) as weights:
                refuse_workers_without(client, replace(shared, model_sha256="0" * 64))
    assert (results.value.code, weights.value.code) == ("E_RESULTS_NOT_SHARED", "E_MODEL")
    assert worker in results.value.cause
    assert worker in weights.value.cause
    assert list((tmp_path / "client/results").iterdir()) == []


@pytest.mark.slow
def test_workers_with_other_packages_are_named_before_the_run_and_when_they_join_it(tmp_path: Path) -> None:
    other = tmp_path / "other/zarr-0.0.1.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: zarr\nVersion: 0.0.1\n")
    said = f"zarr 0.0.1 (here {version('zarr')})"
    with dask_processes(tmp_path, workers=1) as cluster:
        with dask_client(scheduler=cluster.address, workers=1) as client:
            known = set(client.nthreads())
            cluster.add_worker(environment={"PYTHONPATH": os.pathsep.join((str(other.parent), str(ROOT)))})
            cluster.wait_for(2)
            (newcomer,) = set(client.nthreads()) - known
            with pytest.raises(RunFailed) as joined:
                run_each(client, slow, range(40), shared=0.1)
        with pytest.raises(RunFailed) as before, dask_client(scheduler=cluster.address, workers=1):
            pass
    assert (joined.value.code, before.value.code) == ("E_WORKER_VERSIONS", "E_WORKER_VERSIONS")
    assert f"{newcomer}: {said}" in joined.value.cause
    assert f"{newcomer}: {said}" in before.value.cause


@pytest.mark.slow
def test_a_failure_on_a_worker_of_a_cluster_names_the_worker(tmp_path: Path) -> None:
    with (
        dask_processes(tmp_path, workers=1) as cluster,
        dask_client(scheduler=cluster.address, workers=1) as client,
    ):
        (worker,) = client.nthreads()
        with pytest.raises(RunFailed) as failure:
            run_each(client, failing_at_three, range(9), shared=0)
    assert failure.value.code == "E_TEST"
    assert failure.value.cause == f"must not be 3, got 3 (on the worker {worker})"
