"""The scorecard's table of inputs is whole: each of its 44 rows has a case."""

from tests.scorecard import (
    test_inputs_accepted,
    test_inputs_models,
    test_inputs_names,
    test_inputs_pixel_shapes,
    test_inputs_refused,
    test_inputs_structures,
)
from tests.scorecard.inputs import Row

MODULES = (
    test_inputs_accepted,
    test_inputs_models,
    test_inputs_names,
    test_inputs_pixel_shapes,
    test_inputs_refused,
    test_inputs_structures,
)
ROWS = 44


def rows() -> list[Row]:
    """Every case of every table."""
    tables = [table for module in MODULES for table in vars(module).values() if isinstance(table, list)]
    return [case for table in tables for case in table if isinstance(case, Row)]


def test_every_row_of_the_scorecard_has_a_case() -> None:
    assert sorted({row.number for row in rows()}) == list(range(1, ROWS + 1))


def test_no_two_cases_have_the_same_name() -> None:
    ids = [row.id for row in {id(row): row for row in rows()}.values()]
    assert len(ids) == len(set(ids))
