"""What may be said of a figure, and how."""

from dataclasses import dataclass
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.report.wording import (
    clean_text,
    coverage_text,
    limit_text,
    number_text,
    plus_minus,
    position_text,
    share_text,
    width_text,
)


def plain(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u202f", " ")


@dataclass(frozen=True)
class WidthCase:
    id: str
    width_mm: float | None
    uncertainty_mm: float
    below_resolution: bool
    expected: str


@pytest.mark.parametrize(
    "case",
    [
        WidthCase("a-measured-width-carries-its-uncertainty", 4.13, 0.5, False, "4.1 ± 0.5 mm"),
        WidthCase("the-limit-itself-may-be-stated", 2.96, 0.5, False, "3.0 ± 0.5 mm"),
        WidthCase("a-width-below-the-limit-is-not-stated", 2.9, 0.5, False, "< 3.0 mm"),
        WidthCase("a-crack-flagged-below-resolution-has-no-width", 8.0, 0.5, True, "< 3.0 mm"),
        WidthCase("nan-is-not-a-width", nan, 0.5, False, "not measured"),
        WidthCase("no-width-is-not-a-width", None, 0.5, False, "not measured"),
        WidthCase("a-width-without-uncertainty-is-not-stated", 8.0, nan, False, "not measured"),
        WidthCase("an-uncertainty-of-nothing-is-not-believed", 8.0, 0.0, False, "not measured"),
    ],
    ids=lambda case: case.id,
)
def test_width_is_stated_with_its_uncertainty_or_not_at_all(case: WidthCase) -> None:
    text = width_text(
        case.width_mm,
        uncertainty_mm=case.uncertainty_mm,
        resolvable_mm=2.96,
        below_resolution=case.below_resolution,
    )
    assert plain(text) == case.expected


@given(width=st.floats(0.01, 500), uncertainty=st.floats(0.001, 100), limit=st.floats(0.01, 50), below=st.booleans())
def test_no_width_is_ever_bare(width: float, uncertainty: float, limit: float, below: bool) -> None:
    text = plain(width_text(width, uncertainty_mm=uncertainty, resolvable_mm=limit, below_resolution=below))
    if below or width < limit:
        assert text == f"< {plain(limit_text(limit))}"
    else:
        value, _, plus = text.removesuffix(" mm").partition(" ± ")
        assert float(plus) >= uncertainty * (1 - 1e-6)
        assert abs(float(value) - width) <= float(plus)


@given(st.floats(0.001, 1000))
def test_stated_limit_never_promises_more_than_the_gsd_carries(limit: float) -> None:
    stated = float(plain(limit_text(limit)).removesuffix(" mm").replace(" ", ""))
    assert limit * (1 - 1e-6) <= stated <= limit * 1.1 + 1e-9


@given(st.floats(0, 100, exclude_min=True, exclude_max=True))
def test_coverage_says_all_of_all_and_nothing_of_nothing_only(percent: float) -> None:
    assert plain(coverage_text(percent)) not in {"0 %", "100 %", "100.0 %", "0.0 %"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(coverage_text(100.0), "100 %", id="whole-coverage"),
        pytest.param(coverage_text(99.999), "99.9 %", id="coverage-is-rounded-down"),
        pytest.param(share_text(0.0), "0 %", id="no-rust"),
        pytest.param(share_text(1e-6), "< 0.001 %", id="a-trace-is-not-none"),
        pytest.param(number_text(9.996), "10.0", id="rounding-carries-into-the-next-digit"),
        pytest.param(number_text(1234567.0), "1 234 567", id="no-digit-is-lost-before-the-point"),
        pytest.param(number_text(inf), "not measured", id="infinity"),
        pytest.param(plus_minus(12.0, 0.0999, "mm"), "12.00 ± 0.10 mm", id="uncertainty-rounds-up-to-the-next-decade"),
        pytest.param(position_text(8.5, -33.25), "33.2500000° S, 8.5000000° E", id="southern-hemisphere"),
    ],
)
def test_figures_in_words(text: str, expected: str) -> None:
    assert plain(text) == expected


@given(st.text(st.characters(codec="utf-8", categories=["L", "M", "N", "P", "S"]), max_size=40))
def test_letters_of_every_script_survive(name: str) -> None:
    assert clean_text(name) == name


@given(st.text(max_size=40))
def test_no_control_and_no_override_survives(name: str) -> None:
    cleaned = clean_text(name)
    assert not set(cleaned) & {chr(code) for code in (*range(0x20), *range(0x202A, 0x202F), *range(0x2066, 0x206A))}
    assert cleaned == cleaned.strip()
    cleaned.encode("utf-8")
