"""What names the content of a survey: the one rule for uploads, runs and the pointer to what is published."""

import hashlib
import json
import logging
from collections.abc import Iterable

from segmentation.errors import SpanscanError
from segmentation.records import SurveyContent
from tasks.storage import ObjectInfo
from tasks.survey_files import listed_now, makes_survey

log = logging.getLogger("spanscan.publish")


def content_name(files: Iterable[tuple[str, int, str]]) -> str:
    """16 hex digits of the hash of (name, size in bytes, entity tag) of each file that makes a survey, in their order.

    Equal content that was put again in other parts has another name.

    >>> content_name([("a.tif", 1, "e")]) == content_name([("a.tif", 1, "e"), ("notes.txt", 2, "f")])
    True
    """
    listed = [[name, size_bytes, etag] for name, size_bytes, etag in files if makes_survey(name)]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:16]


def content_of(found: Iterable[ObjectInfo]) -> SurveyContent:
    """The content of a survey as a listing told it."""
    files = [one for one in found if makes_survey(one.key)]
    dates = [one.modified_at for one in files if one.modified_at is not None]
    return SurveyContent(
        content_name((one.key, one.size_bytes, one.etag) for one in files), max(dates) if dates else None
    )


def present_content(survey_uri: str, *, endpoint_url: str | None, region: str | None) -> SurveyContent | None:
    """What lies there now; None where that cannot be told, which a finished run need not fail for."""
    try:
        return content_of(listed_now(survey_uri, endpoint_url=endpoint_url, region=region))
    except SpanscanError as error:
        log.warning("whether a newer upload has arrived cannot be told: %s", error)
        return None
