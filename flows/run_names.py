"""What Prefect calls the run of a survey."""

from prefect.runtime import flow_run

from flows.uploads import survey_name


def name_of_run() -> str:
    """What Prefect calls a run until its structures are known: the name of its survey, or of its mask."""
    given = flow_run.parameters
    return survey_name(str(given.get("survey") or given.get("mask")))
