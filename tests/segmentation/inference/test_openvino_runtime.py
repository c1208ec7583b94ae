"""The compiled model: the mask of the plain path within a stated tolerance, and refused where it is not that model."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from segmentation.classes import PixelClass
from segmentation.errors import InputRejected
from segmentation.inference.accuracy_gate import LabelledScene, run_gate
from segmentation.inference.openvino_runtime import OpenvinoRuntime, compiled_folder
from segmentation.models.compiled import (
    CARD_NAME,
    GRAPH_NAME,
    MOST_LOSS,
    VALUES_NAME,
    CompiledCard,
    GateFigure,
    file_sha256,
    read_compiled,
    too_costly,
    write_card,
)
from segmentation.models.registry import LoadedModel
from tests.segmentation.inference.nets import (
    FOLDED,
    PADDED,
    VALID,
    all_valid,
    by_tiles,
    noise,
    predictor_of,
    small_model,
)

pytest.importorskip("openvino", reason="the extra spanscan[openvino] is not installed")
nncf = pytest.importorskip("nncf", reason="the extra spanscan[openvino] is not installed")

from segmentation.models.quantisation import (  # noqa: E402
    BF16_RECIPE,
    INT8_RECIPES,
    Recipe,
    openvino_model,
    prepared,
    save_openvino,
)

FLOAT = Recipe("float32", False, False, "f32")
PASSED = (GateFigure("a set", "crack", "F1", 0.8, 0.799, 3),)
LOST = (GateFigure("a set", "crack", "F1", 0.8, 0.79, 3),)


def compiled_model(
    folder: Path, loaded: LoadedModel, recipe: Recipe, gate: tuple[GateFigure, ...] = PASSED
) -> CompiledCard:
    crops = [noise(seed, 64, 64) for seed in range(8)]
    save_openvino(prepared(openvino_model(loaded), crops, recipe), folder)
    files = {name: str(file_sha256(folder / name)) for name in (GRAPH_NAME, VALUES_NAME)}
    card = CompiledCard(
        loaded.card.name, loaded.sha256, recipe.name, recipe.precision, "noise", files, MOST_LOSS, gate, 0.0, {}
    )
    write_card(folder, card)
    return card


@pytest.mark.parametrize("net", [PADDED, VALID, FOLDED], ids=["padded", "valid", "folded"])
def test_without_quantisation_the_mask_is_that_of_torch(tmp_path: Path, net: dict[str, int]) -> None:
    loaded = small_model(3, **net)
    compiled_model(tmp_path, loaded, FLOAT)
    image = noise(5, 90, 130)
    validity = np.random.default_rng(1).random((90, 130)) > 0.2
    plain = by_tiles(predictor_of(loaded, core_px=32), image, validity, block_px=64)
    runtime = OpenvinoRuntime(tmp_path, loaded, threads=1)
    found = by_tiles(predictor_of(loaded, core_px=32, runtime=runtime), image, validity, block_px=64)
    assert (found.mask != plain.mask).mean() <= 1e-3
    assert np.abs(found.probability.astype(int) - plain.probability.astype(int)).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [*INT8_RECIPES, BF16_RECIPE], ids=lambda r: r.name)
def test_a_quantised_net_keeps_nearly_every_class_of_the_plain_one(tmp_path: Path, recipe: Recipe) -> None:
    """On noise through random weights, where classes tie far more often than in pictures through trained ones."""
    loaded = small_model(3)
    compiled_model(tmp_path, loaded, recipe)
    image = noise(9, 96, 96)
    plain = by_tiles(predictor_of(loaded, core_px=32), image, all_valid(image), block_px=64)
    runtime = OpenvinoRuntime(tmp_path, loaded, threads=2)
    found = by_tiles(predictor_of(loaded, core_px=32, runtime=runtime), image, all_valid(image), block_px=64)
    assert (found.mask != plain.mask).mean() <= 0.05
    assert np.abs(found.probability.astype(int) - plain.probability.astype(int)).mean() <= 6


def test_where_nothing_is_known_the_net_is_shown_its_mean_colour_whatever_the_pixels_hold(tmp_path: Path) -> None:
    loaded = small_model(1)
    compiled_model(tmp_path, loaded, FLOAT)
    runtime = OpenvinoRuntime(tmp_path, loaded, threads=1)
    known = np.ones((1, 32, 32), np.bool_)
    known[:, 10:20, 5:25] = False
    pixels = noise(2, 32, 32)[np.newaxis]
    other = np.where(known[..., None], pixels, 255 - pixels)
    assert torch.equal(runtime.logits(pixels, known), runtime.logits(other, known))
    assert not torch.equal(runtime.logits(pixels, known), runtime.logits(pixels, np.ones_like(known)))


def spoil_graph(folder: Path) -> None:
    (folder / GRAPH_NAME).write_text((folder / GRAPH_NAME).read_text() + " ")


def spoil_values(folder: Path) -> None:
    content = bytearray((folder / VALUES_NAME).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / VALUES_NAME).write_bytes(content)


def claim_other_weights(folder: Path) -> None:
    card = json.loads((folder / CARD_NAME).read_text())
    (folder / CARD_NAME).write_text(json.dumps({**card, "source_sha256": "0" * 64}))


def forget_the_gate(folder: Path) -> None:
    card = json.loads((folder / CARD_NAME).read_text())
    (folder / CARD_NAME).write_text(json.dumps({**card, "gate": []}))


@dataclass(frozen=True)
class Spoilt:
    id: str
    spoil: Callable[[Path], object]
    message: str


SPOILT = [
    Spoilt("a-graph-changed-afterwards", spoil_graph, "sha256 of model.xml"),
    Spoilt("one-bit-of-the-values-flipped", spoil_values, "sha256 of model.bin"),
    Spoilt("values-missing", lambda folder: (folder / VALUES_NAME).unlink(), "got None"),
    Spoilt("made-of-other-weights", claim_other_weights, "it must be made of the weights"),
    Spoilt("never-gated", forget_the_gate, "its gate must show"),
    Spoilt("no-card", lambda folder: (folder / CARD_NAME).unlink(), "a compiled model of"),
    Spoilt("a-card-that-is-none", lambda folder: (folder / CARD_NAME).write_text("{}"), "must be a card"),
]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    compiled_model(folder, small_model(1), FLOAT)
    return folder


@pytest.mark.parametrize("case", SPOILT, ids=lambda c: c.id)
def test_a_compiled_model_that_is_not_what_it_says_is_refused(good: Path, tmp_path: Path, case: Spoilt) -> None:
    folder = tmp_path / "model"
    shutil.copytree(good, folder)
    read_compiled(folder, small_model(1), gated=True)
    case.spoil(folder)
    with pytest.raises(InputRejected, match=case.message) as refusal:
        OpenvinoRuntime(folder, small_model(1), threads=1)
    assert refusal.value.code == "E_COMPILED"


def test_a_model_that_lost_more_than_the_gate_allows_is_refused_by_its_own_figures(good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(good, folder)
    write_card(folder, replace(read_compiled(folder, small_model(1), gated=True), gate=LOST))
    with pytest.raises(InputRejected, match="its gate must show"):
        OpenvinoRuntime(folder, small_model(1), threads=1)
    assert too_costly(LOST, most_loss=MOST_LOSS) == list(LOST)


def test_other_weights_have_another_place(tmp_path: Path) -> None:
    loaded = small_model(1)
    assert compiled_folder(tmp_path, loaded) != compiled_folder(tmp_path, replace(loaded, sha256="f" * 64))


def test_the_gate_sees_what_a_worse_model_loses() -> None:
    """The control: against itself a model loses nothing, another one's masks lose much."""
    image = noise(4, 64, 64)
    plain, other = predictor_of(small_model(1), core_px=32), predictor_of(small_model(2), core_px=32)
    truth = plain.segment_whole(image, all_valid(image)).mask == PixelClass.CRACK
    scene = LabelledScene("noise", image, all_valid(image), {PixelClass.CRACK: (truth, all_valid(image))})
    assert [figure.loss for figure in run_gate(plain, plain, [scene]).figures] == [0.0, 0.0]
    worse = run_gate(plain, other, [scene])
    assert worse.differing_share > 0.1
    assert {figure.metric for figure in too_costly(worse.figures, most_loss=MOST_LOSS)} == {"F1", "IoU"}


def test_a_gate_without_damage_is_no_gate() -> None:
    image = noise(4, 32, 32)
    predictor = predictor_of(small_model(1), core_px=32)
    none = LabelledScene("noise", image, all_valid(image), {PixelClass.RUST: (~all_valid(image), all_valid(image))})
    with pytest.raises(InputRejected, match="some image must show damage"):
        run_gate(predictor, predictor, [none])
