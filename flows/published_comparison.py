"""Two published surveys compared, by their names or after an inspection. Imports no Prefect and no torch."""

import json
import logging
from typing import TYPE_CHECKING

from flows.check_survey import input_limits
from flows.settings import Settings
from segmentation.comparison.registration import RegistrationLimits
from segmentation.errors import SpanscanError
from tasks.compare.compare import compare_runs
from tasks.compare.previous import previous_run, survey_runs
from tasks.compare.published import PublishedRun, open_run
from tasks.compare.rasters import ReadingRules
from tasks.compare.write import WrittenComparison, comparison_place, write_comparison, written_before
from tasks.publish_pointer import POINTER
from tasks.storage import open_storage

if TYPE_CHECKING:
    from tasks.publish import Published

log = logging.getLogger("spanscan.compare")


def compare_published(older: str, newer: str, chosen: Settings, *, out: str | None) -> WrittenComparison:
    """Compare two published surveys; the comparison goes to the folder `out`, None: beside the newer run.

    A comparison of the same runs that is there already stands.
    """
    return _compared(_run(older, chosen), _run(newer, chosen), chosen, out=out, only_if_any=False)


def compare_with_previous(published: "Published", chosen: Settings) -> WrittenComparison | None:
    """Compare a run that was just published with the survey of the same structures before it, if there is one.

    The run is published whatever becomes of this: a failure is a warning in the log. None where nothing was compared.
    """
    try:
        address = {"endpoint_url": chosen.s3_endpoint_url, "region": chosen.s3_region}
        newer = _run(published.results, chosen)
        results = open_storage(chosen.results, **address)
        pointer = json.loads(results.child(newer.survey_id).read(POINTER))
        others = survey_runs(results, sharing=newer, **address)
        older = previous_run(newer, others, published_at=str(pointer["published_at"]))
        if older is None:
            return None
        made = _compared(older, newer, chosen, out=None, only_if_any=True)
        if made.uri:
            log.info("compared with survey %s: %s", older.survey_id, made.uri)
        return made if made.uri else None
    except SpanscanError as error:
        log.warning("the run is published, but it was not compared with the survey before it: %s", error)
        return None
    except Exception as error:  # a run that is published must not be told as failed
        log.warning("the run is published, but comparing it failed: %s: %s", type(error).__name__, error)
        return None


def _compared(
    older: PublishedRun, newer: PublishedRun, chosen: Settings, *, out: str | None, only_if_any: bool
) -> WrittenComparison:
    """The comparison, written; with `only_if_any` not where no structure could be compared: then without address."""
    storage = None if out is None else open_storage(out, endpoint_url=chosen.s3_endpoint_url, region=chosen.s3_region)
    place = comparison_place(older, newer, storage)
    if (earlier := written_before(older, newer, place)) is not None:
        log.info("these runs were compared before: %s", earlier.uri)
        return earlier
    rules = ReadingRules(chosen.home / "staging", chosen.rgb_bands, input_limits(chosen))
    compared = compare_runs(
        older, newer, rules=rules, limits=_limits(chosen), workers=chosen.workers, on_structure=_tell
    )
    for one in compared.structures:
        if one.not_compared is not None:
            log.warning("%s: not compared: %s: %s", one.name, one.not_compared.code, one.not_compared.cause)
    if only_if_any and all(one.not_compared is not None for one in compared.structures):
        return WrittenComparison("", {}, False)
    return write_comparison(compared, place)


def _run(address: str, chosen: Settings) -> PublishedRun:
    return open_run(address, results=chosen.results, endpoint_url=chosen.s3_endpoint_url, region=chosen.s3_region)


def _limits(chosen: Settings) -> RegistrationLimits:
    return RegistrationLimits(
        max_shift_share=chosen.max_registration_shift_share,
        max_rotation_deg=chosen.max_registration_rotation_deg,
        max_scale_change=chosen.max_registration_scale_change,
        max_residual_px=chosen.max_registration_residual_px,
    )


def _tell(done: int, of: int) -> None:
    if done == of or done % 50 == 0:
        log.info("%d of %d structures compared", done, of)
