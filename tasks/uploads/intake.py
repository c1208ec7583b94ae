"""What a batch of messages asks for: which surveys to look at, which messages to set aside. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tasks.uploads.completeness import survey_and_file
from tasks.uploads.events import MalformedEvent, newest_per_key, parse_notification
from tasks.uploads.queue import Message


@dataclass(frozen=True, slots=True)
class Intake:
    """A batch of messages, understood."""

    surveys: dict[str, datetime | None]
    """Surveys with a change, and when the last change happened by the server's clock where it says so."""
    asks: dict[str, frozenset[str]]
    """By message id the surveys that must be settled before the message is deleted; empty: it can go at once."""
    malformed: tuple[tuple[Message, str], ...]
    """Messages that are no notification, with the reason."""
    ignored: int
    """Records about something else than objects written or removed, test events among them."""
    foreign: int
    """Changes outside the inbox, or of keys that belong to no survey."""


def understand(messages: Sequence[Message], *, bucket: str, prefix: str) -> Intake:
    """Sort a batch out; of changes of one key only the newest is looked at.

    `prefix` is the inbox's, empty or ending with a slash.
    """
    surveys: dict[str, datetime | None] = {}
    asks: dict[str, frozenset[str]] = {}
    malformed: list[tuple[Message, str]] = []
    changes = []
    ignored = foreign = 0
    for message in messages:
        try:
            told = parse_notification(message.body)
        except MalformedEvent as error:
            malformed.append((message, str(error)))
            continue
        ignored += told.ignored
        places = [survey_and_file(c.key, prefix=prefix) for c in told.changes if c.bucket == bucket]
        named = frozenset(place[0] for place in places if place is not None)
        foreign += len(told.changes) - sum(place is not None for place in places)
        asks[message.id] = named
        changes += [change for change in told.changes if change.bucket == bucket]
    for change in newest_per_key(changes):
        place = survey_and_file(change.key, prefix=prefix)
        if place is None:
            continue
        known = surveys.get(place[0])
        later = change.occurred_at if known is None else max(known, change.occurred_at or known)
        surveys[place[0]] = later
    return Intake(surveys, asks, tuple(malformed), ignored, foreign)
