"""What a worker must have installed: the packages that decide a result, in the client's own versions."""

import platform
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from distributed import Client

from segmentation.errors import RunFailed

COMPARED: Final = ("spanscan", "torch", "numpy", "zarr")
"""Packages whose version must be the same everywhere, beside Python's major and minor version."""

_MOST_TOLD = 8

Versions = Mapping[str, str | None]
"""Version of "python" and of each compared package; None where it is not installed."""


@lru_cache(maxsize=1)
def installed_versions() -> dict[str, str | None]:
    """What this process has, without an import of any of it."""
    return _comparable({"python": platform.python_version(), **{name: _installed(name) for name in COMPARED}})


def refuse_other_versions(client: Client, *, subject: str) -> None:
    """Raise RunFailed E_WORKER_VERSIONS where the scheduler or a worker has other packages than this process.

    Asked of Dask itself, so that a worker without spanscan can answer too.
    """
    found: Any = client.get_versions(packages=COMPARED)
    here = _comparable(found["client"]["packages"])
    # The scheduler handles no array: it must only know the functions by name.
    scheduler = {name: found["scheduler"]["packages"].get(name) for name in ("python", "spanscan")}
    others = {
        "the scheduler": _differences(here, {**here, **_comparable(scheduler)}),
        **{address: _differences(here, _comparable(told["packages"])) for address, told in found["workers"].items()},
    }
    refuse_differences(subject, others)


def differences_here(expected: Versions) -> tuple[str, ...]:
    """What this process has otherwise than the process that `expected` is of."""
    return _differences(expected, installed_versions())


def refuse_differences(subject: str, others: Mapping[str, tuple[str, ...]]) -> None:
    """Raise RunFailed E_WORKER_VERSIONS where there is any difference, told per address."""
    told = [f"{where}: {', '.join(what)}" for where, what in others.items() if what]
    if not told:
        return
    if len(told) > _MOST_TOLD:
        told = [*told[:_MOST_TOLD], f"and {len(told) - _MOST_TOLD} more"]
    raise RunFailed(
        "E_WORKER_VERSIONS",
        subject,
        f"every worker must hold the packages of this process, got {'; '.join(told)}",
        "start scheduler and workers from the same image or environment as this process",
    )


def _differences(here: Versions, there: Versions) -> tuple[str, ...]:
    return tuple(
        f"{name} {there.get(name) or 'missing'} (here {wanted or 'missing'})"
        for name, wanted in here.items()
        if there.get(name) != wanted
    )


def _comparable(packages: Mapping[str, Any]) -> dict[str, str | None]:
    """Python's major and minor version, and no local part: torch is 2.13.0+cpu here and 2.13.0+cu130 there."""
    told = {name: packages.get(name) for name in ("python", *COMPARED) if name in packages}
    cut = {name: None if found is None else str(found).partition("+")[0] for name, found in told.items()}
    return cut | {"python": ".".join(str(cut["python"]).split(".")[:2])} if "python" in cut else cut


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
