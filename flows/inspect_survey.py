"""The flow `inspect-survey`: from an upload to a published report.

Light to import: who offers the flow needs neither torch nor GDAL, and a run has started before it loads them.
"""

from typing import TYPE_CHECKING, Any

from prefect import flow

from flows.run_names import name_of_run
from flows.settings import Settings

if TYPE_CHECKING:
    from tasks.publish import Published


@flow(
    name="inspect-survey", flow_run_name=name_of_run, validate_parameters=True, persist_result=False,
    timeout_seconds=Settings().run_timeout_s,
)  # fmt: skip
def inspect_survey(survey: str, settings: dict[str, Any] | None = None) -> "Published":
    """Inspect a survey and publish its reports.

    `survey` is ``s3://bucket/prefix/``, a folder or one raster; `settings` overrides settings of the environment by
    their names in lower case. Raises SpanscanError with its code where the input or the run does not allow a report.
    """
    from flows.inspection import inspected

    return inspected(survey, Settings(**(settings or {})))
