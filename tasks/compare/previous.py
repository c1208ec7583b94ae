"""The published surveys below a place of results, and which of them a new one is to be compared with."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from segmentation.errors import SpanscanError
from tasks.compare.places import paired_structures
from tasks.compare.published import PublishedRun, run_at
from tasks.publish_pointer import POINTER
from tasks.storage import Storage
from tasks.uploads.listing import folders


@dataclass(frozen=True, slots=True)
class SurveyRun:
    """The published run of a survey with its dates, ISO 8601."""

    run: PublishedRun
    captured_at: str | None
    published_at: str


def survey_runs(
    results: Storage, *, endpoint_url: str | None, region: str | None, sharing: PublishedRun | None
) -> Iterator[SurveyRun]:
    """The published runs of all surveys below `results`; with `sharing` those that have a structure in common with it.

    A folder that holds no readable run is passed over.
    """
    for name in sorted(folders(results)):
        survey = results.child(name)
        try:
            if not survey.exists(POINTER):
                continue
            run = run_at(survey, endpoint_url=endpoint_url, region=region)
            if run is None or (sharing is not None and not _share(run, sharing)):
                continue
            published_at = str(json.loads(survey.read(POINTER)).get("published_at", ""))
            yield SurveyRun(run, captured_at(run), published_at)
        except (SpanscanError, ValueError, KeyError):
            continue


def captured_at(run: PublishedRun) -> str | None:
    """When a survey was flown, as its reports state it; None where they do not."""
    for line in run.structure_lines():
        stated: str | None = run.structure(line).report["run"]["captured_at"]
        return stated
    return None


def previous_run(newer: PublishedRun, candidates: Iterator[SurveyRun], *, published_at: str) -> PublishedRun | None:
    """The latest of the surveys before a new one: by when they were flown, else by when they were published."""
    flown = captured_at(newer)
    earlier = []
    for one in candidates:
        if one.run.survey_id == newer.survey_id:
            continue
        both_flown = flown is not None and one.captured_at is not None
        key, own = (one.captured_at or "", flown or "") if both_flown else (one.published_at, published_at)
        if key < own:
            earlier.append((key, one.run))
    return max(earlier, key=lambda pair: (pair[0], pair[1].survey_id))[1] if earlier else None


def _share(one: PublishedRun, other: PublishedRun) -> bool:
    """Whether they list a structure in common by its id or name."""
    if not one.structure_lines() or not other.structure_lines():
        return False
    pairs = paired_structures(one, other)
    ids = {line["id"] for line in one.structure_lines()} | {line["name"] for line in one.structure_lines()}
    return any(
        pair.older is not None and pair.newer is not None and (pair.newer["id"] in ids or pair.newer["name"] in ids)
        for pair in pairs
    )
