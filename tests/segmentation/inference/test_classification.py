"""From scores to classes: one rule, whatever the strip, the layout and the precision."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segmentation.errors import InputRejected
from segmentation.inference.classification import classes_and_probabilities


def plain(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The rule as a formula, in double precision: the first of the largest, and the soft-max times 255."""
    scores = logits.double()
    return scores.argmax(dim=0), torch.softmax(scores, dim=0)[1:] * 255


def test_the_largest_probability_wins_and_the_lower_id_on_a_tie() -> None:
    logits = torch.tensor([[[0.0, 2.0, 1.0, 0.0]], [[1.0, 2.0, 1.0, 3.0]], [[0.5, 0.0, 1.0, 3.0]]])
    ids, probability = classes_and_probabilities(logits)
    assert ids.tolist() == [[1, 0, 0, 1]]
    assert probability.shape == (2, 1, 4)
    assert probability[0, 0, 2] == round(255 / 3)


@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from([torch.float32, torch.bfloat16]),
    st.sampled_from(["planes", "channels last", "view"]),
    st.sampled_from([0.1, 4.0, 500.0]),
    st.integers(0, 2**31),
)
def test_classes_and_probabilities_equal_the_formula(
    rows: int, cols: int, dtype: torch.dtype, layout: str, spread: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = (torch.randn(1, 3, rows + 8, cols + 8, generator=generator) * spread).to(dtype)
    logits[:, 2, ::3] = logits[:, 1, ::3]  # ties
    if layout != "planes":
        logits = logits.to(memory_format=torch.channels_last)
    core = logits[0, :, 3 : 3 + rows, 2 : 2 + cols] if layout == "view" else logits[0]
    before = core.clone()
    ids, probability = classes_and_probabilities(core)
    expected_ids, expected = plain(core)
    assert (ids == expected_ids.numpy()).all()
    np.testing.assert_allclose(probability, expected, atol=0.5 + 1e-3)
    assert torch.equal(core, before)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("place", [(0, 0, 0), (1, 63, 900), (2, 127, 999)])
def test_one_score_that_is_not_finite_is_an_error(value: float, place: tuple[int, int, int]) -> None:
    logits = torch.zeros(3, 128, 1000)
    logits[place] = value
    with pytest.raises(InputRejected, match="the logits must be finite"):
        classes_and_probabilities(logits)
