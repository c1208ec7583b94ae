"""`spanscan models`: what a user chooses by."""

import subprocess
import sys

import pytest

from flows.models_table import show_card, show_models
from flows.models_text import CORES_PX, family_records, model_records
from segmentation.errors import UsageError
from segmentation.models.catalogue import available_models
from segmentation.models.registry import load_model


def test_a_larger_core_does_less_work_outside_of_it_and_holds_more() -> None:
    (record,) = model_records(("spanscan-unet",))
    tiles = record["tiles"]
    assert [tile["core_px"] for tile in tiles] == list(CORES_PX)
    assert [tile["halo_share"] for tile in tiles] == sorted((t["halo_share"] for t in tiles), reverse=True)
    for tile in tiles:
        halo_px = record["geometry"]["halo_px"]
        assert tile["window_px"] == tile["core_px"] + 2 * halo_px
        assert tile["halo_share"] == round(1 - (tile["core_px"] / tile["window_px"]) ** 2, 3)
        assert tile["activation_bytes"]["fp32"] == 2 * tile["activation_bytes"]["bf16"]
        work = record["geometry"]["gflop_per_mpx"] / (1 - tile["halo_share"])
        assert tile["gflop_per_core_mpx"] == pytest.approx(work, rel=0.01)


def test_the_family_trades_receptive_field_against_memory_and_resolution() -> None:
    records = family_records()
    for fold_px in (1, 2):
        nets = [r for r in records if r["arguments"]["fold_px"] == fold_px]
        fields = [r["geometry"]["receptive_field_px"] for r in nets]
        memory = [r["tile"]["activation_bytes"]["bf16"] for r in nets]
        assert fields == sorted(fields)
        assert memory == sorted(memory)
    by_choice = {(r["arguments"]["depth"], r["arguments"]["fold_px"]): r["tile"] for r in records}
    assert by_choice[4, 1]["activation_bytes"]["bf16"] > 1.5 * by_choice[3, 2]["activation_bytes"]["bf16"]


def test_the_table_shows_each_model_and_the_card_shows_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    records = model_records()
    show_models(records, family_records())
    shown = capsys.readouterr().out
    for name in available_models():
        card = load_model(name).card
        assert name in shown
        assert card.licence in shown
        assert card.sha256[:12] in shown
    show_card(records[0])
    full = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert records[0]["card"]["sha256"] in full
    for text in (*records[0]["card"]["limits"], *records[0]["card"]["notes"]):
        assert " ".join(text.split())[:60] in full


def test_a_model_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="E_MODEL_UNKNOWN"):
        model_records(("nothing-of-the-kind",))


def test_a_check_imports_no_torch() -> None:
    script = "import sys, flows.cli, flows.check_survey, flows.check_text; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
