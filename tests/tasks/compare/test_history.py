"""The history of a structure: sizes of surveys of another scale beside each other, and the picture of their growth."""

from dataclasses import replace

import pytest

from tasks.compare.history import HistoryPoint, HistorySurvey, StructureHistory, growth_table
from tasks.compare.history_picture import growth_png

NONE: dict[str, float | None] = {
    "length_m": None,
    "length_uncertainty_m": None,
    "max_width_mm": None,
    "width_uncertainty_mm": None,
    "area_m2": None,
    "area_uncertainty_m2": None,
}
SURVEYS = tuple(
    HistorySurvey(f"deck-{year}", f"{year}" * 4, f"{year}-05-01", f"{year}-05-02", 90.0, 1.0, 2.0, 0.1, (), None)
    for year in (2023, 2024, 2025)
)


def point(survey: HistorySurvey, length_m: float, *, change: str | None = None, scale: float = 1.0) -> HistoryPoint:
    sizes = NONE | {"length_m": length_m, "length_uncertainty_m": 0.01, "area_m2": length_m * 0.004}
    return HistoryPoint("C-0001.abc", "crack", survey.survey_id, survey.run_key, survey.date, change, sizes, scale)


def test_a_survey_in_another_scale_shows_no_growth_by_that() -> None:
    first, last = point(SURVEYS[0], 1.00, scale=0.98), point(SURVEYS[1], 0.98)
    assert first.size("length_m") == pytest.approx(last.size("length_m"))
    assert first.size("area_m2") == pytest.approx(1.00 * 0.004 * 0.98**2)
    assert first.size("max_width_mm") is None


def test_the_table_states_what_each_survey_says_and_the_scale_beside_it() -> None:
    table = growth_table(StructureHistory("deck", SURVEYS, (point(SURVEYS[0], 1.0, scale=0.98),)))
    assert table.column("length_m") == (1.0,)
    assert table.column("scale_to_last") == (0.98,)


@pytest.mark.parametrize(
    "dates",
    [("2023-05-01", "2024-05-01", "2025-05-01"), ("2023-05-01", "2023-05-01", "2023-05-01"), ("", "spring", "2025")],
    ids=["years-apart", "on-one-day", "not-known"],
)
def test_the_curves_are_drawn_whatever_the_dates(dates: tuple[str, ...]) -> None:
    surveys = tuple(replace(one, captured_at=date) for one, date in zip(SURVEYS, dates, strict=True))
    points = tuple(point(one, 1.0 + 0.2 * n, change="GROWN" if n else None) for n, one in enumerate(surveys))
    for known in ((), points[:1], points):
        assert growth_png(StructureHistory("<deck>", surveys, known)).startswith(b"\x89PNG")
