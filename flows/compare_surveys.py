"""The flow `compare-surveys`: what has changed between two published surveys of the same structures."""

from typing import Any

from prefect import flow

from flows.published_comparison import compare_published
from flows.settings import Settings
from flows.time_limits import spread_s
from tasks.compare.write import WrittenComparison


@flow(
    name="compare-surveys", flow_run_name="{older} → {newer}", validate_parameters=True, persist_result=False,
    retries=2, retry_delay_seconds=spread_s(60), timeout_seconds=Settings().compare_timeout_s,
)  # fmt: skip
def compare_surveys(older: str, newer: str, settings: dict[str, Any] | None = None) -> WrittenComparison:
    """Compare two published surveys and publish the comparison beside the newer one.

    Both are ids of surveys below the results, or addresses of surveys' or runs' folders; `settings` overrides settings
    of the environment by their names in lower case. Raises SpanscanError with its code.
    """
    return compare_published(older, newer, Settings(**(settings or {})), out=None)
