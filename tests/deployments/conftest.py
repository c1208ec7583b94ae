"""One Prefect API and one small sample survey for the tests of deployments."""

from tests.flows.conftest import home, prefect, sample

__all__ = ["home", "prefect", "sample"]
