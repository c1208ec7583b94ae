"""The setting of grading tables: all that are shipped by default, and a bad one refused before anything runs."""

from pathlib import Path

import pytest

from flows.settings import Settings
from flows.stages import measure_settings
from segmentation.errors import UsageError
from segmentation.measurement.grading import shipped_standards


def test_every_shipped_table_is_applied_by_default() -> None:
    assert sorted(Settings(_env_file=None).standards) == sorted(shipped_standards())


def test_a_bad_table_is_refused_before_anything_runs(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("schema: 2", encoding="utf-8")
    with pytest.raises(UsageError, match="schema must be 1") as caught:
        measure_settings(Settings(_env_file=None, standards=("astm-d610", str(own))))
    assert caught.value.exit_code == 2
