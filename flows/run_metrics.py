"""Figures of a run for Prometheus: a text file that the node exporter's textfile collector reads."""

from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from flows.stage_progress import StageProgress


def write_metrics(path: Path, survey: str, progress: StageProgress) -> None:
    """Put the figures of the run of a survey in place of those in the file, in one step; raises OSError."""
    registry = CollectorRegistry()
    figures: dict[str, tuple[str, float | None]] = {
        "spanscan_units_done": ("Blocks or structures that the stage has done", progress.done),
        "spanscan_units_left": ("Blocks or structures that the stage has left", progress.total - progress.done),
        "spanscan_megapixels_per_second": ("Pace of the stage", progress.mpx_per_s),
        "spanscan_eta_seconds": ("Seconds to the end of the stage at this pace", progress.eta_s),
        "spanscan_stage_seconds": ("Seconds since the stage began", progress.elapsed_s),
        "spanscan_peak_memory_bytes": ("The most memory that the process has held", progress.peak_bytes),
        "spanscan_device_memory_bytes": ("What the process holds of its GPU", progress.device_bytes),
    }
    labels = {"survey": survey, "stage": progress.stage, "unit": progress.unit}
    for name, (meaning, value) in figures.items():
        if value is not None:
            Gauge(name, meaning, list(labels), registry=registry).labels(**labels).set(value)
    Gauge("spanscan_told_at_seconds", "When these figures were written", registry=registry).set_to_current_time()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_to_textfile(str(path), registry)
