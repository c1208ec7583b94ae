"""A published run as a comparison reads it: manifest, structures, places of rasters; defects structure by structure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from typing import Any

from segmentation.classes import DEFECT_CLASSES, PixelClass
from segmentation.comparison.records import SurveyLimits
from segmentation.errors import InputRejected
from segmentation.georeference import Georeference, metres_per_unit_of_local_crs
from segmentation.records import SourceObject
from tasks.mask_store import MaskStore
from tasks.publish_pointer import MANIFEST, POINTER
from tasks.slugs import survey_folder, unique_slugs
from tasks.storage import Storage, open_storage, printable

_DEFECTS = re.compile(rb'\n "defects": \[.*?\n \](?=,\n|\n\})', re.DOTALL)
_LEAST_LENGTH_PX, _LEAST_AREA_PX = 24.0, 64.0


@dataclass(frozen=True, slots=True)
class RunRaster:
    """One raster of a run, by what the run itself keeps of it."""

    name: str
    slug: str
    georeference: Georeference
    gsd_m: float
    source: SourceObject
    """Where its pixels were; they may be gone."""
    is_mask: bool
    """Whether there is no picture: the mask was given alone."""


@dataclass(frozen=True, slots=True)
class RunStructure:
    """One structure of a run, without its defects."""

    id: str
    name: str
    slug: str
    report: dict[str, Any]
    """Its ``report.json`` without the defects."""

    @property
    def not_inspected_reason(self) -> str | None:
        """Why nothing is known of it; None where it was inspected."""
        reason: str | None = self.report["not_inspected_reason"]
        return reason


@dataclass(frozen=True)
class PublishedRun:
    """One published run of a survey."""

    storage: Storage
    """Its own prefix."""
    manifest: dict[str, Any]
    masks: MaskStore
    endpoint_url: str | None
    region: str | None

    @property
    def run_key(self) -> str:
        """Its key."""
        return str(self.manifest["run_key"])

    @property
    def survey_id(self) -> str:
        """The survey it is of."""
        return str(self.manifest["survey"]["id"])

    @property
    def uri(self) -> str:
        """Address of its folder."""
        return self.storage.uri("")

    def looks_for(self) -> frozenset[PixelClass]:
        """The classes that it looked for: one alone where a mask of one class was given."""
        given = self.manifest.get("given_mask") or {}
        only = given.get("only_class")
        return frozenset(DEFECT_CLASSES if only is None else (PixelClass[only.upper()],))

    def limits(self, gsd_m: float) -> SurveyLimits:
        """What it lists."""
        settings = self.manifest["settings"]
        return SurveyLimits(
            gsd_m=gsd_m,
            min_crack_length_px=float(settings.get("min_crack_length_px", _LEAST_LENGTH_PX)),
            min_rust_area_px=float(settings.get("min_rust_area_px", _LEAST_AREA_PX)),
            looks_for=self.looks_for(),
        )

    def structure_lines(self) -> tuple[Mapping[str, Any], ...]:
        """The structures as the manifest lists them, in their order."""
        return tuple(self.manifest["outcome"]["structures"])

    def structure(self, line: Mapping[str, Any]) -> RunStructure:
        """One structure with its report; raises InputRejected where the run keeps none that can be read."""
        slug = str(line["report"]).rsplit("/", 2)[-2]
        return RunStructure(str(line["id"]), str(line["name"]), slug, report_head(self._read_report(slug)))

    def whole_report(self, slug: str) -> dict[str, Any]:
        """``report.json`` of a structure with its defects, which may be large."""
        report: dict[str, Any] = json.loads(self._read_report(slug))
        return report

    def _read_report(self, slug: str) -> bytes:
        return self.storage.read(f"structures/{slug}/report.json")

    def rasters(self) -> dict[str, RunRaster]:
        """Its rasters by name, with the places that its mask store states."""
        return _rasters(self)

    def __hash__(self) -> int:
        return hash((self.uri, self.run_key))


def open_run(address: str, *, results: str, endpoint_url: str | None, region: str | None) -> PublishedRun:
    """A published run by its address, its survey's address, or the survey's id or its upload's name below `results`.

    Raises InputRejected E_NO_RUN where there is none.
    """
    tried = []
    candidates = [address]
    if "/" not in address and "\\" not in address:
        candidates += [f"{results.rstrip('/')}/{name}" for name in dict.fromkeys((address, survey_folder(address)))]
    for candidate in candidates:
        storage = open_storage(candidate, endpoint_url=endpoint_url, region=region)
        tried.append(storage.uri(""))
        run = run_at(storage, endpoint_url=endpoint_url, region=region)
        if run is not None:
            return run
    raise InputRejected(
        "E_NO_RUN",
        printable(address),
        f"a published run must be there, got none at {' or '.join(tried)}",
        "give the id of a survey with --results where its results are, or the address of a run's folder",
    )


def run_at(storage: Storage, *, endpoint_url: str | None, region: str | None) -> PublishedRun | None:
    """The run in a folder, or the one that a survey's pointer there names; None where there is neither."""
    if not storage.exists(MANIFEST):
        if not storage.exists(POINTER):
            return None
        storage = storage.child(str(json.loads(storage.read(POINTER))["run"]))
    manifest = json.loads(storage.read(MANIFEST))
    if str(manifest.get("schema", "")).rsplit("/", 1)[0] != "spanscan/manifest":
        raise InputRejected(
            "E_RUN_MANIFEST",
            storage.uri(MANIFEST),
            "the manifest must be one of spanscan, got another",
            "name another run",
        )
    masks = MaskStore(storage.uri("masks.zarr"), endpoint_url, region)
    return PublishedRun(storage, manifest, masks, endpoint_url, region)


def report_head(data: bytes) -> dict[str, Any]:
    """``report.json`` with an empty list of defects: those of a large structure are hundreds of megabytes.

    A line of the file begins with one space and a quote for the keys of the outermost object alone.
    """
    report: dict[str, Any] = json.loads(_DEFECTS.sub(b'\n "defects": []', data, count=1))
    report["defects"] = []
    return report


@lru_cache(maxsize=16)
def _rasters(run: PublishedRun) -> dict[str, RunRaster]:
    inputs = run.manifest["inputs"]
    given = run.manifest.get("given_mask")
    is_mask = given is not None and given.get("image_name") is None
    slugs = unique_slugs((one["name"].rsplit(".", 1)[0] for one in inputs), fallback="mask" if is_mask else "raster")
    found = {}
    for one, slug in zip(inputs, slugs, strict=True):
        source = SourceObject(one["uri"], int(one["size_bytes"]), one["etag"], one["version_id"], str(one["sha256"]))
        place = _georeference(run, slug, float(one["gsd_m"]))
        found[one["name"]] = RunRaster(one["name"], slug, place, float(one["gsd_m"]), source, is_mask)
    return found


def _georeference(run: PublishedRun, slug: str, gsd_m: float) -> Georeference:
    """The place of a raster as its group in the mask store states it."""
    group = json.loads(run.storage.read(f"masks.zarr/{slug}/zarr.json"))["attributes"]
    stated = json.loads(run.storage.read(f"masks.zarr/{slug}/spatial_ref/zarr.json"))["attributes"]
    height, width = (int(side) for side in group["spatial:shape"])
    a, b, c, d, e, f = (float(value) for value in group["spatial:transform"])
    wkt = stated.get("crs_wkt")
    is_local = wkt is None or metres_per_unit_of_local_crs(wkt) is not None
    unit_m = gsd_m / sqrt(abs(a * e - b * d)) if is_local else None
    return Georeference(height, width, (a, b, c, d, e, f), wkt, unit_m)
