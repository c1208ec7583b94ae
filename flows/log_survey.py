"""Each log line of a run says of which survey it speaks; ``record.survey`` holds it for those who parse."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_SURVEY: ContextVar[str | None] = ContextVar("spanscan_survey", default=None)


class _Survey(logging.Filter):
    """Puts the survey of the context before a message; of several handlers the first one does it."""

    def filter(self, record: logging.LogRecord) -> bool:
        survey = _SURVEY.get()
        if survey is not None and not hasattr(record, "survey"):
            record.survey = survey
            shown = survey if survey.isprintable() else ascii(survey)
            record.msg = f"{shown.replace('%', '%%') if record.args else shown}: {record.msg}"
        return True


@contextmanager
def log_of_survey(survey: str) -> Iterator[None]:
    """Name the survey in what this context logs below ``spanscan``, to stderr and to Prefect alike."""
    for handler in logging.getLogger("spanscan").handlers:
        if not any(isinstance(known, _Survey) for known in handler.filters):
            handler.addFilter(_Survey())
    token = _SURVEY.set(survey)
    try:
        yield
    finally:
        _SURVEY.reset(token)
