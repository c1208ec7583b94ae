"""Uploads and the settings: which inbox, which ledger, what is asked for, and the record that a run keeps of itself."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.check_survey import input_limits
from flows.settings import Settings
from segmentation.errors import InputRejected, RunFailed, UsageError
from segmentation.models.catalogue import card_of
from tasks.slugs import survey_folder
from tasks.storage import Storage, open_storage
from tasks.storage_local import LocalStorage
from tasks.survey_files import MANIFEST_NAME
from tasks.survey_manifest import read_manifest
from tasks.uploads.cancelled import is_cancelled
from tasks.uploads.completeness import Completeness, Upload, judge
from tasks.uploads.known_runs import KnownRuns
from tasks.uploads.ledger import RunLog, known_record, read_record, run_log
from tasks.uploads.listing import uploads
from tasks.uploads.standing import Standing, StandingRules, cancelled, standing

if TYPE_CHECKING:
    from tasks.publish import Published  # imports the engine, which `spanscan status` does without

_RESULT_SETTINGS = (
    "model", "precision", "runtime", "block_px", "tile_core_px", "skip_outside_structures", "rgb_bands", "gsd_m",
    "skip_rejected", "min_crack_width_px", "min_crack_length_px", "crack_gap_px", "min_rust_area_px", "standards",
)  # fmt: skip
"""Settings that change what is published."""
_BEATS_PER_LEASE = 5


@dataclass(frozen=True, slots=True)
class Inbox:
    """Where surveys arrive and where their results go, with the rules by which runs are due."""

    storage: Storage
    """The inbox."""
    results: Storage
    """Root of all results."""
    rules: StandingRules
    quiet_s: float
    max_manifest_bytes: int

    def survey_uri(self, name: str) -> str:
        """The address of a survey, as a run takes it."""
        return f"{self.storage.uri('').rstrip('/')}/{name}/"

    def results_of(self, name: str) -> Storage:
        """Where the results of a survey are."""
        return self.results.child(results_folder(name))

    def upload(self, name: str) -> Upload | None:
        """What lies there for one survey now; None for nothing."""
        return next(uploads(self.storage, only=name), None)

    def completeness(self, upload: Upload, *, heard_at: datetime | None = None) -> Completeness:
        """Whether an upload is whole; survey.json is read for the rasters that it lists."""
        listed = self._listed_rasters(upload) if upload.has_manifest else None
        return judge(upload, listed_rasters=listed, quiet_s=self.quiet_s, heard_at=heard_at)

    def standing(self, upload: Upload, *, heard_at: datetime | None = None, known: KnownRuns | None = None) -> Standing:
        """Where an upload stands, with `known` for many at once."""
        where = self.standing_uncancelled(upload, heard_at=heard_at, known=known)
        if where.attempt is None:
            return where
        folder = results_folder(upload.name)
        if known is None:
            stays = is_cancelled(self.results, folder, upload.content)
        else:
            stays = (folder, upload.content) in known.cancelled
        return cancelled(where) if stays else where

    def standing_uncancelled(
        self, upload: Upload, *, heard_at: datetime | None = None, known: KnownRuns | None = None
    ) -> Standing:
        """As `standing`, whatever a person has cancelled; its record comes first, since most is published."""
        if known is None:
            found = read_record(self.results_of(upload.name), upload.content)
        else:
            found = known_record(known, self.results, results_folder(upload.name), upload.content)
        if found is not None:
            return standing(_WHOLE, found, self.rules)
        return standing(self.completeness(upload, heard_at=heard_at), None, self.rules)

    def _listed_rasters(self, upload: Upload) -> list[str] | None:
        """None where it lists none, or is no manifest: the run then says why."""
        try:
            data = self.storage.read(f"{upload.name}/{MANIFEST_NAME}")
            manifest = read_manifest(data, name=MANIFEST_NAME, max_bytes=self.max_manifest_bytes)
        except InputRejected:
            return None
        except RunFailed as error:
            # A file that only its owner may read is the matter of one survey; a missing permission in S3 is of all.
            if error.code != "E_ACCESS" or not isinstance(self.storage, LocalStorage):
                raise
            return None
        return None if manifest.rasters is None else [raster.name for raster in manifest.rasters]


_WHOLE = Completeness(True, "a run of this content began", None)


def survey_name(survey: str) -> str:
    """How people call the survey at an address: its prefix, folder or file.

    >>> survey_name("s3://inbox/in/bridge 7/"), survey_name("deck.tif")
    ('bridge 7', 'deck.tif')
    """
    return survey.rstrip("/").rpartition("/")[2] or survey


def results_folder(name: str) -> str:
    """The folder of a survey's results, below the root of all results."""
    return survey_folder(name)


def inbox_of(chosen: Settings, *, again: bool = False) -> Inbox:
    """The inbox of the settings; raises UsageError E_INBOX where none is named."""
    if chosen.inbox is None:
        cause = "the place where surveys are uploaded must be known, got none"
        raise UsageError("E_INBOX", "SPANSCAN_INBOX", cause, "set it to s3://bucket/prefix or to a folder")
    where: dict[str, Any] = {"endpoint_url": chosen.s3_endpoint_url, "region": chosen.s3_region}
    rules = StandingRules(
        settings=settings_name(chosen),
        lease_s=chosen.run_lease_s,
        failures=chosen.run_failures,
        retry_after_s=chosen.run_retry_after_s,
        again=again,
    )
    return Inbox(
        open_storage(chosen.inbox, **where),
        open_storage(chosen.results, **where),
        rules,
        chosen.upload_quiet_s,
        input_limits(chosen).max_document_bytes,
    )


def asked_settings(chosen: Settings) -> dict[str, Any]:
    """What is asked for beyond the defaults, by names of settings: what changes the result, as JSON holds it."""
    plain = chosen.model_dump(mode="json", include=set(_RESULT_SETTINGS))
    default = {name: Settings.model_fields[name].default for name in _RESULT_SETTINGS}
    return {name: plain[name] for name in _RESULT_SETTINGS if getattr(chosen, name) != default[name]}


def settings_name(chosen: Settings) -> str:
    """Names the model, the settings that change the result and the version: 8 hex digits."""
    asked = {**asked_settings(chosen), "model": card_of(chosen.model).sha256, "spanscan": version("spanscan")}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:8]


def with_record(survey: str, chosen: Settings, inspect: "Callable[[str, Settings], Published]") -> "Published":
    """Inspect a survey by `inspect` and keep the record of it, see `recorded_run`."""
    with recorded_run(survey, chosen) as log:
        published = inspect(survey, chosen)
        if log is not None:
            log.published(published.run_key)
    return published


@contextmanager
def recorded_run(survey: str, chosen: Settings) -> Iterator[RunLog | None]:
    """Keep the record by which `spanscan status`, sweeps and watchers know of the run of a survey.

    A rejection is written down beside the results, a run that dies is told by its record's age. None for a survey
    that is a single file or that is not there: it was not uploaded to an inbox.
    """
    where: dict[str, Any] = {"endpoint_url": chosen.s3_endpoint_url, "region": chosen.s3_region}
    address = survey if "://" in survey else str(Path(survey).expanduser().absolute())
    parent, _, name = address.rstrip("/").rpartition("/")
    is_bucket = parent.lower() == "s3:/"
    upload = None if is_bucket or not parent else next(uploads(open_storage(parent, **where), only=name), None)
    if upload is None:
        yield None
        return
    with run_log(
        open_storage(chosen.results, **where),
        results_folder(name),
        survey=survey,
        content=upload.content,
        settings=settings_name(chosen),
        beat_s=chosen.run_lease_s / _BEATS_PER_LEASE,
    ) as log:
        yield log
