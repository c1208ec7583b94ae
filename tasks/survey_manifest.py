"""survey.json: what the team that flew the survey says of it."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from segmentation.errors import InputRejected
from tasks.json_document import LONGEST_TEXT, clean_text, parse_json
from tasks.storage import check_key

_KNOWN = frozenset({"captured_at", "operator", "gsd_m", "rasters"})
_SHA256 = re.compile(r"[0-9a-f]{64}")
_GSD_LIMITS_M = (1e-6, 100.0)
_SHOWN_CHARS = 60


@dataclass(frozen=True, slots=True)
class ListedRaster:
    """One raster as the manifest names it."""

    name: str
    """File name."""
    sha256: str | None
    """What its content must hash to, hex; None where it is not said."""


@dataclass(frozen=True, slots=True)
class SurveyManifest:
    """The content of survey.json; every part may be missing."""

    captured_at: str | None = None
    """ISO 8601."""
    operator: str | None = None
    """Who flew it."""
    gsd_m: float | None = None
    """Scale of the rasters that have no place on the earth, metres per pixel."""
    rasters: tuple[ListedRaster, ...] | None = None
    """The rasters that make the survey; None: all that are there."""
    warnings: tuple[str, ...] = ()
    """Members that nobody knows."""


def read_manifest(data: bytes, *, name: str, max_bytes: int) -> SurveyManifest:
    """The manifest in `data`; raises InputRejected E_MANIFEST, E_KEY for a raster's name that is no file name."""
    document = parse_json(data, name=name, code="E_MANIFEST", max_bytes=max_bytes)
    if not isinstance(document, dict):
        raise _refused(name, f"it must be a JSON object, got {type(document).__name__}")
    unknown = sorted(clean_text(key[:_SHOWN_CHARS]) for key in document if key not in _KNOWN)
    return SurveyManifest(
        captured_at=_captured_at(document.get("captured_at"), name),
        operator=_operator(document.get("operator"), name),
        gsd_m=_gsd_m(document.get("gsd_m"), name),
        rasters=_rasters(document.get("rasters"), name),
        warnings=(f"{name}: unknown members were not used: {', '.join(unknown[:10])}",) if unknown else (),
    )


def _refused(name: str, cause: str) -> InputRejected:
    return InputRejected("E_MANIFEST", name, cause, "mend the manifest, or leave that member out")


def _captured_at(value: Any, name: str) -> str | None:
    if value is None:
        return None
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        shown = clean_text(str(value)[:_SHOWN_CHARS])
        raise _refused(name, f"captured_at must be an ISO 8601 time, got {shown!r}") from None
    return str(value)


def _operator(value: Any, name: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise _refused(name, f"operator must be text, got {type(value).__name__}")
    if value is not None and len(value) > LONGEST_TEXT:
        raise _refused(name, f"operator must be at most {LONGEST_TEXT} characters, got {len(value)}")
    return None if value is None else clean_text(value)


def _gsd_m(value: Any, name: str) -> float | None:
    if value is None:
        return None
    low, high = _GSD_LIMITS_M
    # Compared before it is made a float: JSON may hold integers that are none.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:
        shown = clean_text(str(value)[:_SHOWN_CHARS])
        raise _refused(name, f"gsd_m must be metres per pixel, {low:g} … {high:g}, got {shown}")
    return float(value)


def _rasters(value: Any, name: str) -> tuple[ListedRaster, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not value:
        raise _refused(name, "rasters must be a list of file names or of {name, sha256}, got another or an empty one")
    listed = tuple(_raster(item, name) for item in value)
    if len({raster.name for raster in listed}) != len(listed):
        raise _refused(name, "rasters must name each file once, got one twice")
    return listed


def _raster(item: Any, name: str) -> ListedRaster:
    members = item if isinstance(item, dict) else {"name": item}
    file_name, sha256 = members.get("name"), members.get("sha256")
    if not isinstance(file_name, str):
        raise _refused(name, f"a raster must be named by text, got {type(file_name).__name__}")
    if "/" in check_key(file_name):
        raise InputRejected(
            "E_KEY", file_name, "a raster must lie beside the manifest, got a path", "name the file only"
        )
    if sha256 is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256.lower())):
        raise _refused(name, f"sha256 of {file_name} must be 64 hex digits, got another")
    return ListedRaster(file_name, None if sha256 is None else sha256.lower())
