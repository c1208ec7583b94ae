"""The smallest survey that goes through every stage: for tests of the way of a run, not of what it finds."""

import json
from pathlib import Path

from tests.tasks.surveys import picture, write_raster

SIDE_PX = 128


def tiny_survey(folder: Path, *, shade: int = 0) -> Path:
    """Write one raster of noise and the manifest that closes the upload; each `shade` is another content."""
    values = picture(height=SIDE_PX, width=SIDE_PX)
    values[:, :8, :8] = shade
    write_raster(folder / "deck.tif", values)
    (folder / "survey.json").write_text(json.dumps({"rasters": [{"name": "deck.tif"}]}))
    return folder
