"""Every default and every environment variable of spanscan, with bounds; lower layers take keyword arguments."""

import os
from pathlib import Path
from typing import Literal

import psutil
from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from flows.container_limits import cores, memory_left_bytes
from tasks.report_settings import FORMATS, ordered_formats


def _memory_share() -> int:
    # In a container psutil tells of the whole machine.
    return int(min(psutil.virtual_memory().available, memory_left_bytes()) * 0.8)


def _cores() -> int:
    seen = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(seen, cores())))


class Settings(BaseSettings):
    """Settings of one process, read from `SPANSCAN_…` and from `.env`; options of the command line override them.

    AWS credentials are never here: they come from the standard AWS chain.
    """

    model_config = SettingsConfigDict(
        env_prefix="SPANSCAN_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    home: Path = Field(
        Path("~/.spanscan").expanduser(),
        description="spanscan's own folder: staged rasters, the embedded Prefect server's database, logs",
    )
    s3_endpoint_url: str | None = Field(None, description="S3 endpoint; unset: AWS")
    s3_region: str | None = Field(None, description="S3 region; unset: the AWS chain's")
    results: str = Field("spanscan-results", description="where results go: s3://bucket/prefix or a folder")
    inbox: str | None = Field(None, description="where surveys are uploaded: s3://bucket/prefix or a folder")
    queue_url: str | None = Field(
        None, description="URL of the SQS queue that takes the inbox's notifications; unset: sweeps alone find uploads"
    )
    queue_visibility_s: int = Field(
        60,
        ge=3,
        le=43200,
        description="how long a received notification is hidden from other watchers, renewed by work",
    )
    upload_quiet_s: float = Field(
        900.0,
        ge=1,
        le=604800,
        description="seconds without a change after which an upload without survey.json is whole",
    )
    run_lease_s: float = Field(
        300.0, ge=10, le=3600, description="a run whose record in the results is older has died; it is renewed 5 times"
    )
    run_failures: int = Field(3, ge=1, le=20, description="failed runs of one content after which a person must look")
    run_retry_after_s: float = Field(
        600.0,
        ge=1,
        le=86400,
        description="least wait after the first failed run; it doubles and is spread by up to half",
    )
    # At 4.1 Mpx/s on two cores a day is 350 Gpx, some 140 GB of JPEG; what is larger goes on from its finished blocks.
    run_timeout_s: float = Field(
        86400.0,
        ge=60,
        le=2592000,
        description="longest time of an inspection or measurement; the next one goes on from it",
    )
    compare_timeout_s: float = Field(
        14400.0, ge=60, le=2592000, description="longest time of a comparison by a deployment"
    )
    train_timeout_s: float = Field(
        129600.0,
        ge=60,
        le=2592000,
        description="longest time of a training by a deployment; the next goes on from it",
    )
    # An inbox of 100,000 objects takes less than a minute; while a sweep hangs, no other begins.
    sweep_timeout_s: float = Field(1800.0, ge=60, le=86400, description="longest time of a sweep by a deployment")
    # The deployment's watcher ends in order after a day: this is for one that does not.
    watch_timeout_s: float = Field(90000.0, ge=60, le=2592000, description="longest time of a watcher by a deployment")
    sweep_cron: str = Field("*/4 * * * *", description="when `spanscan serve` sweeps the inbox")
    serve_host: str = Field("127.0.0.1", description="address on which `spanscan serve` offers its dashboard")
    serve_port: int = Field(4200, ge=1, le=65535, description="port of that dashboard")
    progress_every_s: float = Field(
        15.0, ge=1, le=3600, description="seconds between two updates of a run's progress in Prefect and metrics_file"
    )
    metrics_file: Path | None = Field(
        None,
        description="file in which the run of this machine leaves its figures for Prometheus: *.prom in the folder of "
        "the node exporter's textfile collector; unset: none",
    )
    review_host: str = Field("127.0.0.1", description="address on which `spanscan review` offers its page")
    review_port: int = Field(4280, ge=0, le=65535, description="port of that page; 0: any that is free")
    review_certificate: Path | None = Field(None, description="certificate chain, PEM, by which that page is encrypted")
    review_key: Path | None = Field(None, description="private key of that certificate, PEM, without a passphrase")
    scheduler: str | None = Field(
        None, description="Dask scheduler, tcp://host:port or tls://host:port; unset: this process"
    )
    worker_wait_s: float = Field(
        60.0, ge=1, le=86400, description="how long a Dask cluster may be without any worker before a run gives up"
    )
    model: str = Field(
        "spanscan-unet", description="name of shipped weights, or a path to a .safetensors with its card"
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field("auto", description="arithmetic of the model")
    workers: int = Field(default_factory=_cores, ge=1, le=256, description="blocks worked at once in this process")
    batch: int | None = Field(
        None, ge=1, le=256, description="tiles per forward pass; unset: 1 on a processor, by its memory on a GPU"
    )
    runtime: Literal["torch", "openvino"] = Field(
        "torch", description="what runs the model; openvino runs what `spanscan compile-model` has made, on processors"
    )
    compile: bool = Field(False, description="let torch compile the model first; a processor needs a C++ compiler")
    skip_outside_structures: bool = Field(False, description='leave what lies outside every structure "not inspected"')
    tile_core_px: int | None = Field(
        None, ge=16, le=8192, multiple_of=16, description="pixels a tile owns along a side; unset: by the memory limit"
    )
    block_px: int = Field(
        2048, ge=512, le=16384, multiple_of=512, description="side of a Dask block, which is one Zarr shard"
    )
    memory_limit_bytes: int = Field(
        default_factory=_memory_share, ge=10**8, description="peak that a run may be projected to need"
    )
    rgb_bands: tuple[int, int, int] | None = Field(
        None, description="1-based bands of red, green, blue, as a JSON list; unset: by colour interpretation"
    )
    max_raster_px: int = Field(10**11, ge=10**6, description="pixels of one raster")
    max_input_block_bytes: int = Field(64 * 2**20, ge=2**20, description="decoded bytes of one strip or tile of a file")
    max_input_read_s: float = Field(
        30.0, ge=1, le=3600, description="seconds that one step of reading an uploaded raster may take"
    )
    max_input_ratio: float = Field(5000.0, ge=10, description="decoded bytes per byte of a file")
    max_rasters: int = Field(10_000, ge=1, description="rasters of one survey")
    max_structures: int = Field(100_000, ge=1, description="structures of one survey")
    max_vertices: int = Field(5_000_000, ge=100, description="vertices of all footprints of a survey")
    max_document_bytes: int = Field(64 * 2**20, ge=1024, description="size of structures.geojson and survey.json")
    gsd_m: float | None = Field(None, gt=0, lt=1, description="GSD for rasters without a place on the earth")
    skip_rejected: bool = Field(False, description="inspect what is left when some rasters are rejected")
    min_crack_width_px: float = Field(2.0, ge=1, le=10, description="least crack width stated as a figure, in pixels")
    min_crack_length_px: float = Field(24.0, ge=0, le=1000, description="shorter cracks are counted as specks")
    # As long as the shortest crack that is listed: what is told from a speck is told from a gap.
    crack_gap_px: float = Field(
        24.0, ge=0, le=1000, description="gaps up to this are bridged where a crack goes on in line, in pixels; 0: none"
    )
    # Off unless asked for: on a painted survey of which the shipped weights found all, growth added false length alone.
    grow_cracks_above: float | None = Field(
        None,
        ge=0.01,
        le=0.99,
        description="`measure --probability`: cracks grow through connected pixels of this probability; unset: not",
    )
    min_rust_area_px: int = Field(64, ge=0, le=100000, description="smaller rust patches are counted as specks")
    standards: tuple[str, ...] = Field(
        (
            "aashto-mbei-concrete-cracking",
            "aashto-mbei-prestressed-cracking",
            "aashto-mbei-crack-spacing",
            "aashto-mbei-steel-corrosion",
            "astm-d6433-cracking",
            "astm-d610",
            "iso-4628-3",
            "en-1992-1-1-crack-width",
            "aci-224r-crack-width",
        ),
        description="grading tables: ids of shipped ones or paths of YAML files, as a JSON list; "
        "each applies to the materials and kinds that it names",
    )
    report_formats: tuple[str, ...] = Field(
        tuple(FORMATS),
        description="files that are published, as a JSON list: html, pdf (one per structure), index, geojson, csv, "
        "geoparquet, geopackage, stac, pyramid, cog; report.json of each structure, masks.zarr and manifest.json "
        "always are, since other programs read them",
    )
    max_registration_shift_share: float = Field(
        0.25, gt=0, le=0.5, description="greatest shift between two surveys, as a share of the structure's shorter side"
    )
    max_registration_rotation_deg: float = Field(5.0, gt=0, le=45, description="greatest rotation between two surveys")
    max_registration_scale_change: float = Field(
        0.06, gt=0, le=0.5, description="greatest |scale - 1| between two surveys"
    )
    max_registration_residual_px: float = Field(
        3.0, gt=0, le=50, description="greatest residual of a registration, in pixels of the coarser survey"
    )
    worst_count: int = Field(12, ge=1, le=100, description="defects pictured in each report")
    evaluation_widths_px: tuple[float, ...] = Field(
        (2.0, 4.0, 8.0), description="limits between the classes of crack width in `evaluate`, as a JSON list"
    )
    evaluation_draws: int = Field(1000, ge=100, le=100_000, description="bootstrap draws of images in `evaluate`")
    review_image_s: float = Field(20.0, ge=0, description="assumed time to open a picture and look it over")
    review_confirm_s: float = Field(10.0, ge=0, description="assumed time to look at one finding and confirm it")
    review_reject_s: float = Field(5.0, ge=0, description="assumed time beyond that to delete a false alarm")
    review_draw_s: float = Field(60.0, ge=0, description="assumed time to draw one piece of damage that was missed")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="what is logged to stderr")

    @field_validator("report_formats")
    @classmethod
    def _known_formats(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return ordered_formats(names)
