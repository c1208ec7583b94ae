"""What is told of a run: progress, what was found, figures for Prometheus, log lines; none of it holds a run up."""

import base64
import io
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from flows.log_survey import log_of_survey
from flows.run_metrics import write_metrics
from flows.settings import Settings
from flows.stage_progress import StageProgress
from tasks.sample_survey import SampleTruth


def progress(*, done: int, total: int, found_done: int = 0, elapsed_s: float = 10.0) -> StageProgress:
    return StageProgress("segment", "blocks", done, total, found_done, elapsed_s, 10**9, 10**9, None)


def test_the_pace_counts_only_what_this_attempt_has_done() -> None:
    """1,000 Mpx in 100 blocks: 40 found, 10 worked in 10 s → 10 Mpx/s, and 50 s for the 50 left."""
    now = progress(done=50, total=100, found_done=40)
    assert (now.mpx_per_s, now.eta_s, now.percent) == (10.0, 50.0, 50.0)


@pytest.mark.parametrize("done", [0, 7])
def test_before_the_first_block_no_pace_is_stated(done: int) -> None:
    now = progress(done=done, total=7, found_done=done)
    assert (now.mpx_per_s, now.eta_s) == (None, None)
    assert "Mpx/s" not in now.sentence()


def test_prometheus_reads_the_figures_of_the_last_update(tmp_path: Path) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    path = tmp_path / "new" / "spanscan.prom"
    write_metrics(path, 'bridge "7"', progress(done=1, total=100))
    write_metrics(path, 'bridge "7"', progress(done=50, total=100))
    found = {s.name: s for family in text_string_to_metric_families(path.read_text()) for s in family.samples}
    assert found["spanscan_units_left"].value == 50
    assert found["spanscan_megapixels_per_second"].value == 50
    assert found["spanscan_units_left"].labels == {"survey": 'bridge "7"', "stage": "segment", "unit": "blocks"}
    assert [p.name for p in path.parent.iterdir()] == ["spanscan.prom"]


class Kept(logging.Handler):
    """The messages of a log, each with the survey that it names."""

    def __init__(self) -> None:
        super().__init__(level=logging.WARNING)
        self.lines: list[tuple[str, str | None]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.getMessage(), getattr(record, "survey", None)))


@pytest.fixture
def logs() -> Iterator[tuple[Kept, Kept]]:
    """Two handlers, as a run has them that logs to stderr and to Prefect."""
    handlers = (Kept(), Kept())
    for handler in handlers:
        logging.getLogger("spanscan").addHandler(handler)
    yield handlers
    for handler in handlers:
        logging.getLogger("spanscan").removeHandler(handler)


@pytest.mark.parametrize("survey", ["bridge 7", "100 %s", "a\x1b[2Jb"], ids=["plain", "percent", "control-characters"])
def test_a_log_line_of_a_run_names_its_survey_once(survey: str, logs: tuple[Kept, Kept]) -> None:
    with log_of_survey(survey):
        logging.getLogger("spanscan.inspect").warning("%s: %d", "segment", 3)
    logging.getLogger("spanscan.inspect").warning("later")
    shown = survey if survey.isprintable() else ascii(survey)
    for kept in logs:
        assert kept.lines == [(f"{shown}: segment: 3", survey), ("later", None)]


def test_outside_prefect_a_run_is_told_of_to_prometheus_alone(tmp_path: Path) -> None:
    from flows.run_board import run_board

    with run_board("s3://in/bridge/", Settings(metrics_file=tmp_path / "x.prom")) as board:
        board.structures_known(3)
        board.counter("segment", unit="blocks", pixels=None)(1, 2)
    assert 'survey="bridge"' in (tmp_path / "x.prom").read_text()


def test_what_cannot_be_written_is_said_once_and_fails_nothing(tmp_path: Path, logs: tuple[Kept, Kept]) -> None:
    from flows.run_board import run_board

    (tmp_path / "file").write_text("")
    with run_board("bridge", Settings(metrics_file=tmp_path / "file" / "x.prom", progress_every_s=1)) as board:
        count = board.counter("segment", unit="blocks", pixels=None)
        for done in range(3):
            count(done, 3)
            time.sleep(1.2)
    said = [line for line, _ in logs[0].lines]
    assert len(said) == 1
    assert "the run goes on, but Prometheus is left out" in said[0]


@pytest.fixture
def inspected(prefect: str, home: Path, sample: tuple[Path, SampleTruth], tmp_path: Path) -> Callable[[], Any]:
    from flows.inspect_survey import inspect_survey

    def run() -> Any:
        asked = {"home": str(home), "workers": 1, "block_px": 512, "results": str(tmp_path), "progress_every_s": 1}
        return inspect_survey(str(sample[0]), settings=asked, return_state=True)

    return run


@pytest.mark.slow
def test_prefect_shows_progress_what_was_found_and_the_way_to_the_report(inspected: Callable[[], Any]) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    state = inspected()
    published = state.result()
    run_id = state.state_details.flow_run_id
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(run_id)
        of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
        found = {artifact.type: artifact for artifact in client.read_artifacts(artifact_filter=of_run)}
    assert run.name == f"sample: {len(published.structures)} structures"
    assert set(found) == {"progress", "table", "markdown", "image"}
    assert found["progress"].data == 100.0
    assert "of " in found["progress"].description
    rows = found["table"].data
    for line in published.structures:
        assert f'"structure": "{line.name}"' in str(rows)
        assert f'"cracks, m": {line.crack_length_m}' in str(rows)
    assert Path(published.results, "index.html").as_uri() in found["markdown"].data
    jpeg = base64.b64decode(found["image"].data.partition(",")[2])
    assert max(Image.open(io.BytesIO(jpeg)).size) <= 640
    assert len(jpeg) < 60_000
