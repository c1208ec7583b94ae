"""S3's notifications as plain records: direct from S3, wrapped by SNS, or by EventBridge. Pure."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import unquote_plus

_DEEPEST_WRAPPING = 3
_CREATED, _REMOVED = ("ObjectCreated",), ("ObjectRemoved", "LifecycleExpiration")
_EVENTBRIDGE_KINDS: Mapping[str, Literal["created", "removed"]] = {
    "Object Created": "created",
    "Object Deleted": "removed",
}


class MalformedEvent(ValueError):
    """A message that is no notification of S3; its text says what must hold."""


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """One object that was written or removed."""

    bucket: str
    key: str
    """Decoded."""
    kind: Literal["created", "removed"]
    sequencer: str | None
    """Hex digits that order the changes of one key; None from servers that give none."""
    occurred_at: datetime | None
    """Time of the change by the server's clock; None where it is not said."""
    version_id: str | None
    """None where the bucket keeps none."""


@dataclass(frozen=True, slots=True)
class Notification:
    """What one message says."""

    changes: tuple[ObjectChange, ...]
    """In the order of the message; empty for a test event."""
    ignored: int
    """Records about something else: tags, access lists, restored archives, a test."""


def parse_notification(body: str) -> Notification:
    """The changes in the body of a message, whichever of the three shapes it has.

    Keys are form-decoded, but for EventBridge, which sends them as they are. Raises MalformedEvent.
    Source: Amazon S3 User Guide, "Event message structure" and "Amazon EventBridge event schema".
    """
    return _parsed(_document(body), depth=0)


def newest_per_key(changes: Iterable[ObjectChange]) -> tuple[ObjectChange, ...]:
    """Of each key the change that happened last, in the order of their keys; duplicates and late ones fall away."""
    newest: dict[tuple[str, str], ObjectChange] = {}
    for change in changes:
        place = (change.bucket, change.key)
        known = newest.get(place)
        if known is None or happened_after(change, known):
            newest[place] = change
    return tuple(newest[place] for place in sorted(newest))


def happened_after(one: ObjectChange, other: ObjectChange) -> bool:
    """Whether `one` happened after `other`, both of the same key.

    By their sequencers where both have one: these are compared as text after padding the shorter one with zeros on
    its left (Amazon S3 User Guide, "Event message structure"). Else by the server's time; equal ones are duplicates,
    unless a removal and a creation share a second: then the object counts as there, and a listing tells.
    """
    if one.sequencer is not None and other.sequencer is not None:
        width = max(len(one.sequencer), len(other.sequencer))
        return one.sequencer.upper().rjust(width, "0") > other.sequencer.upper().rjust(width, "0")
    if one.occurred_at is not None and other.occurred_at is not None and one.occurred_at != other.occurred_at:
        return one.occurred_at > other.occurred_at
    return one.kind == "created" and other.kind == "removed"


def _document(text: str) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedEvent("a message must be JSON") from None
    if not isinstance(document, dict):
        raise MalformedEvent(f"a message must be a JSON object, got {type(document).__name__}")
    return document


def _parsed(document: Mapping[str, Any], *, depth: int) -> Notification:
    if document.get("Event") == "s3:TestEvent":
        return Notification((), 1)
    if "Records" in document:
        return _of_records(document["Records"])
    if document.get("source") == "aws.s3" and "detail-type" in document:
        return _of_eventbridge(document)
    if isinstance(document.get("Message"), str) and depth < _DEEPEST_WRAPPING:
        return _parsed(_document(document["Message"]), depth=depth + 1)
    raise MalformedEvent("a message must hold Records, an EventBridge detail of aws.s3 or an SNS Message, got none")


def _of_records(records: Any) -> Notification:
    if not isinstance(records, list):
        raise MalformedEvent(f"Records must be a list, got {type(records).__name__}")
    changes = []
    for record in records:
        name = _text(record, "eventName").removeprefix("s3:").split(":")[0]
        if name not in (*_CREATED, *_REMOVED):
            continue
        s3 = _member(record, "s3")
        found = _member(s3, "object")
        changes.append(
            ObjectChange(
                bucket=_text(_member(s3, "bucket"), "name"),
                key=_form_decoded(_text(found, "key")),
                kind="created" if name in _CREATED else "removed",
                sequencer=_optional_text(found, "sequencer"),
                occurred_at=_time(_optional_text(record, "eventTime")),
                version_id=_optional_text(found, "versionId"),
            )
        )
    return Notification(tuple(changes), len(records) - len(changes))


def _of_eventbridge(document: Mapping[str, Any]) -> Notification:
    kind = _EVENTBRIDGE_KINDS.get(_text(document, "detail-type"))
    if kind is None:
        return Notification((), 1)
    detail = _member(document, "detail")
    found = _member(detail, "object")
    change = ObjectChange(
        bucket=_text(_member(detail, "bucket"), "name"),
        key=_text(found, "key"),
        kind=kind,
        sequencer=_optional_text(found, "sequencer"),
        occurred_at=_time(_optional_text(document, "time")),
        version_id=_optional_text(found, "version-id"),
    )
    return Notification((change,), 0)


def _form_decoded(key: str) -> str:
    try:
        return unquote_plus(key, errors="strict")
    except UnicodeDecodeError:
        raise MalformedEvent("a key must be form-encoded UTF-8") from None


def _member(holder: Any, name: str) -> Mapping[str, Any]:
    value = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(value, dict):
        raise MalformedEvent(f"{name} must be a JSON object, got {type(value).__name__}")
    return value


def _text(holder: Any, name: str) -> str:
    value = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(value, str) or not value:
        raise MalformedEvent(f"{name} must be text, got {type(value).__name__}")
    return value


def _optional_text(holder: Mapping[str, Any], name: str) -> str | None:
    value = holder.get(name)
    return value if isinstance(value, str) and value else None


def _time(text: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if text is not None else None
    except ValueError:
        return None
    return found if found is None or found.tzinfo is not None else found.replace(tzinfo=UTC)
