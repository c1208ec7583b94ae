"""Decisions on the defects of a run: one object each, never overwritten; the latest of a defect stands.

The n-th decision on a defect is the object ``decisions/<defect>/<n>.json``, put in place only where there is none. Who
decides states how many decisions on the defect they have seen, so that of two who saw the same exactly one decides, and
the other is told, whatever server, tab or machine they sit at.
"""

import json
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import Final, Literal, get_args
from urllib.parse import quote

from segmentation.classes import CLASS_NAMES, PixelClass
from segmentation.errors import InputRejected
from tasks.json_document import clean_text
from tasks.output_files import dumped_json
from tasks.storage import Storage

Verdict = Literal["accept", "reject", "reclass", "reopen"]
"""It is what the machine says; it is nothing; it is the other class; nobody has decided after all."""
VERDICTS: Final = get_args(Verdict)
MOST_NAME_CHARS: Final = 100
MOST_COMMENT_CHARS: Final = 2000
_SCHEMA: Final = "spanscan/decision/1"
_FOLDER: Final = "decisions/"
_KEY: Final = re.compile(r"decisions/([^/]+)/(\d{5})\.json")
_READERS: Final = 16


@dataclass(frozen=True, slots=True)
class Decision:
    """One person's word on one defect."""

    defect_id: str
    number: int
    """1 for the first decision on this defect."""
    verdict: Verdict
    machine_class: str
    """What the machine calls it: crack or rust."""
    final_class: str | None
    """What it is after the decision; None where it is nothing."""
    comment: str
    reviewer: str
    decided_at: str
    """By the clock of the machine that served the page, ISO 8601 in UTC."""

    @property
    def stands(self) -> bool:
        """Whether the defect is decided; not where it was opened again."""
        return self.verdict != "reopen"


class StaleDecisionError(Exception):
    """Somebody else decided on the defect meanwhile; nothing was written."""

    def __init__(self, standing: Decision) -> None:
        super().__init__(standing)
        self.standing = standing
        """The decision that came first."""


class DecisionLog:
    """All decisions on one run; safe to share between threads, and with other processes and machines."""

    def __init__(self, review: Storage, *, run_key: str, classes: Mapping[str, PixelClass]) -> None:
        self._review = review
        self._run_key = run_key
        self._classes = classes
        self._known: dict[tuple[str, int], Decision] = {}
        self._lock = Lock()

    def refresh(self, defect_id: str | None = None) -> None:
        """Read what others have decided since, on one defect or on all.

        Raises InputRejected E_DECISION for an object that is no decision.
        """
        ids = {_folder_name(one): one for one in self._classes}
        below = _FOLDER if defect_id is None else f"{_FOLDER}{_folder_name(defect_id)}/"
        new = []
        for info in self._review.list(below, recursive=True):
            match = _KEY.fullmatch(info.key)
            if match is not None and match[1] in ids and (ids[match[1]], int(match[2])) not in self._known:
                new.append(info.key)
        if not new:
            return
        with ThreadPoolExecutor(_READERS) as pool:
            found = list(pool.map(self._read, new))
        with self._lock:
            self._known |= {(decision.defect_id, decision.number): decision for decision in found}

    def decide(self, defect_id: str, verdict: Verdict, *, comment: str, reviewer: str, saw: int) -> Decision:
        """Write a decision by somebody who saw `saw` decisions on the defect.

        Raises StaleDecisionError where there are more by now, InputRejected E_DECISION for an unknown defect or
        verdict, a missing or too long name, a comment that is too long.
        """
        decision = self._made(defect_id, verdict, comment=comment, reviewer=reviewer, number=saw + 1)
        if saw and self._latest_number(defect_id) < saw:
            self.refresh(defect_id)
            if self._latest_number(defect_id) < saw:
                raise _refused(defect_id, f"a decision must follow those there are, got one after {saw}", "reload")
        record = {"schema": _SCHEMA, "run_key": self._run_key, **asdict(decision)}
        if not self._review.swap(_key(defect_id, decision.number), dumped_json(record), expected=None).swapped:
            self.refresh(defect_id)
            raise StaleDecisionError(self.latest()[defect_id])
        with self._lock:
            self._known[defect_id, decision.number] = decision
        return decision

    def latest(self) -> dict[str, Decision]:
        """The last decision on each defect that has any, by the defect's id."""
        with self._lock:
            known = sorted(self._known.items())
        return {defect_id: decision for (defect_id, _), decision in known}

    def history(self, defect_id: str) -> tuple[Decision, ...]:
        """All decisions on a defect, first to last."""
        with self._lock:
            return tuple(d for _, d in sorted(self._known.items()) if d.defect_id == defect_id)

    def all(self) -> tuple[Decision, ...]:
        """All decisions by defect and number."""
        with self._lock:
            return tuple(decision for _, decision in sorted(self._known.items()))

    def _latest_number(self, defect_id: str) -> int:
        return max((number for known, number in self._known if known == defect_id), default=0)

    def _made(self, defect_id: str, verdict: Verdict, *, comment: str, reviewer: str, number: int) -> Decision:
        if defect_id not in self._classes:
            raise _refused(defect_id[:40], "a decision must be on a defect of this run, got none of that id", "reload")
        if verdict not in VERDICTS:
            raise _refused(defect_id, f"a verdict must be one of {', '.join(VERDICTS)}, got {verdict!r:.40}", "reload")
        name, words = clean_text(reviewer), clean_text(comment)
        if not 0 < len(name) <= MOST_NAME_CHARS:
            cause = f"a reviewer must have a name of at most {MOST_NAME_CHARS} characters, got {len(name)}"
            raise _refused(defect_id, cause, "state the name")
        if len(words) > MOST_COMMENT_CHARS:
            cause = f"a comment must have at most {MOST_COMMENT_CHARS} characters, got {len(words)}"
            raise _refused(defect_id, cause, "shorten it")
        machine = self._classes[defect_id]
        return Decision(
            defect_id=defect_id,
            number=number,
            verdict=verdict,
            machine_class=CLASS_NAMES[machine],
            final_class=None if verdict == "reject" else CLASS_NAMES[other_class(machine, verdict)],
            comment=words,
            reviewer=name,
            decided_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )

    def _read(self, key: str) -> Decision:
        try:
            record = json.loads(self._review.read(key))
            fields = {name: record[name] for name in Decision.__dataclass_fields__}
            decision = Decision(**fields)
            if record["schema"] != _SCHEMA or key != _key(decision.defect_id, decision.number):
                raise ValueError(f"schema {record['schema']!r}, decision {decision.number} on {decision.defect_id!r}")
            return decision
        except (ValueError, KeyError, TypeError) as error:
            cause = f"the object must be a decision, got {type(error).__name__}: {error}"
            raise _refused(self._review.uri(key), cause, "restore it from a copy") from error


def other_class(machine: PixelClass, verdict: Verdict) -> PixelClass:
    """The class that a verdict leaves to what is not rejected."""
    if verdict != "reclass":
        return machine
    return PixelClass.RUST if machine is PixelClass.CRACK else PixelClass.CRACK


def looked_at(latest: Iterable[Decision]) -> int:
    """How many defects are decided."""
    return sum(decision.stands for decision in latest)


def _key(defect_id: str, number: int) -> str:
    return f"{_FOLDER}{_folder_name(defect_id)}/{number:05d}.json"


def _folder_name(defect_id: str) -> str:
    return quote(defect_id, safe="")


def _refused(subject: str, cause: str, remedy: str) -> InputRejected:
    return InputRejected("E_DECISION", subject, cause, remedy)
