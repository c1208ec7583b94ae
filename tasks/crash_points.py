"""Named places at which a test ends the process as a power cut would: right beside each change of what is kept.

What must hold at every one of them: a reader sees the old or the new result and nothing between, and the same command
given again ends with the bytes of an undisturbed run.
"""

import os
import signal
import threading
from collections import Counter
from typing import Final, Literal, get_args

CRASH_AT: Final = "SPANSCAN_CRASH_AT"
"""``point`` or ``point:n``, with n the passing at which the process ends; not set but by tests."""

CrashPoint = Literal[
    "before_staged_rename",  # a raster is fetched whole, under its temporary name
    "after_staged_rename",  # it is in place, and its checksum is not noted
    "after_run_begun",  # the record says "running", and nothing else is there
    "after_stage",  # between two stages of a run
    "between_mask_arrays",  # the store has a mask and no probability
    "after_nodata_shards",  # they are written, and no record says so
    "between_shard_files",  # the probability of a block is written, its mask is not
    "after_shard_write",  # both are, and no record says so
    "after_block_record",
    "after_level_shard",  # a level of the pyramid is half there
    "before_levels_finished",  # all of it is there, and readers are not told
    "after_cog_staged",  # the GeoTIFF is whole in the staging folder, and not among the results
    "before_rename",  # any file of a local folder is whole, under its temporary name
    "after_output_file",  # any report, layer or table is in place
    "before_manifest",  # everything but the manifest is
    "before_pointer_swap",  # the run is whole, and what was published before still is
    "after_pointer_swap",  # it is published, and the collection of all surveys does not say so
    "before_published_record",  # the collection says so too, and the record of the upload does not
    "before_published_mark",  # the record says "published", and the sweeps' mark is not there
    "after_published_mark",
    "after_rejected_file",  # rejected.json is there, and the record of the upload says "running"
    "after_end_record",  # the record says why the run ended without a result
]
CRASH_POINTS: Final[tuple[CrashPoint, ...]] = get_args(CrashPoint)
"""Those of an inspection."""

LaterCrashPoint = Literal[
    "before_comparison_record",  # page, PDF and layers of a comparison are there, and nothing says so
    "after_comparison_record",  # it is published
    "after_revision_claim",  # a revision has its number, and nothing else
    "before_revision_manifest",  # all of a revision but its manifest is there
    "before_revision_pointer",  # the revision is whole, and the one before it still is what readers see
    "after_revision_pointer",
]
LATER_CRASH_POINTS: Final[tuple[LaterCrashPoint, ...]] = get_args(LaterCrashPoint)
"""Those of what is made of published runs."""

passed: Final[Counter[str]] = Counter()
"""How often each point was passed by this process, counted only while the environment names a point."""
_counting = threading.Lock()


def reached(point: CrashPoint | LaterCrashPoint) -> None:
    """End this process by SIGKILL where the environment names this point and passing; else nothing happens."""
    chosen = os.environ.get(CRASH_AT)
    if chosen is None:
        return
    name, _, passing = chosen.partition(":")
    with _counting:
        passed[point] += 1
        if name == point and passed[point] == int(passing or 1):
            os.kill(os.getpid(), signal.SIGKILL)
