"""``latest.json`` of a survey: which run is published, moved in one step, and never back to an older upload.

Which upload is newer is not asked of the clock of the machine that publishes. A run whose content is what lies in the
inbox now is the newest there can be, whatever any clock says; a pointer to such a run is left alone. Of two runs that
were both overtaken by a third upload, the one whose files were written later, by the clock of the server that keeps
them, is pointed at until the third one's run ends. Equal content (another model, other settings): who ends last.
The comparison holds for the pointer that was read, since the swap is refused where it is another by then.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from segmentation.errors import RunFailed
from segmentation.records import SurveyContent
from tasks.output_files import dumped_json
from tasks.storage import Storage

MANIFEST, POINTER = "manifest.json", "latest.json"
_TRIES = 5
Present = Callable[[], SurveyContent | None]
"""Says what lies in the survey's inbox now; None where that cannot be told."""


@dataclass(frozen=True, slots=True)
class PointerOutcome:
    """What became of the pointer."""

    run_key: str
    """Of the run that it points at now."""
    moved: bool
    """Whether this caller moved it; said to one caller for each move."""


def pointed_at(results: Storage) -> Mapping[str, Any]:
    """The pointer of a survey; empty where there is none, or none that can be read."""
    if not results.exists(POINTER):
        return {}
    try:
        found = json.loads(results.read(POINTER))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def swap_pointer(results: Storage, run_key: str, *, content: SurveyContent | None, present: Present) -> PointerOutcome:
    """Point ``latest.json`` of a survey at a run, unless it names that run already, or one of a newer upload.

    Without `content` the run is none of an upload, and always pointed at. Raises RunFailed E_POINTER where others
    keep overtaking.
    """
    for _ in range(_TRIES):
        # The tag first: what is read after it is that content, or the swap fails.
        before = results.head(POINTER).etag if results.exists(POINTER) else None
        found = pointed_at(results) if before is not None else {}
        if found.get("run_key") == run_key or _is_newer(found, content, present):
            return PointerOutcome(str(found["run_key"]), moved=False)
        if results.swap(POINTER, dumped_json(_pointer(run_key, content)), expected=before).swapped:
            return PointerOutcome(run_key, moved=True)
    raise RunFailed(
        "E_POINTER",
        results.uri(POINTER),
        f"the pointer must stay in place while it is swapped, got {_TRIES} changes by other runs in a row",
        "wait for the other runs of this survey to end and run again; the finished results are kept",
    )


def _pointer(run_key: str, content: SurveyContent | None) -> dict[str, Any]:
    changed_at = content.changed_at if content is not None else None
    return {
        "run_key": run_key,
        "run": f"runs/{run_key}",
        "content": content.name if content is not None else None,
        "changed_at": changed_at.isoformat() if changed_at is not None else None,
        "published_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _is_newer(found: Mapping[str, Any], content: SurveyContent | None, present: Present) -> bool:
    """Whether the pointer that was `found` names a run of a newer upload than `content`."""
    theirs = found.get("content")
    if content is None or not theirs or not found.get("run_key") or theirs == content.name:
        return False
    now = present()
    if now is not None and now.name in (content.name, theirs):
        return bool(now.name == theirs)
    changed_at = _time(found.get("changed_at"))
    return changed_at is not None and content.changed_at is not None and changed_at > content.changed_at


def _time(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
