"""One registry of codes: what the source raises, what `--explain` explains and what README lists are the same."""

import ast
import re
from pathlib import Path

import pytest

from flows.explain import README_END, README_START, codes_markdown, explain_lines
from segmentation.error_codes import KINDS, error_codes
from segmentation.errors import UsageError
from tests.scorecard.inputs import spanscan

ROOT = Path(__file__).parents[2]
_CODE = re.compile(r"E_[A-Z][A-Z0-9_]*")
_CLASSES = {kind.__name__: name for name, kind in KINDS.items()}
RAISED_IN_TWO_WAYS = {"E_SPLIT"}
"""Codes that are an input's fault in one place and the command's in another."""


def _raised() -> dict[str, set[str]]:
    """Every code in the source, with the classes that it is directly given to."""
    found: dict[str, set[str]] = {}
    for package in ("flows", "tasks", "segmentation"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    whole = _CODE.fullmatch(node.value) or re.match(r"spanscan: (E_[A-Z_]+):", node.value)
                    if whole:
                        found.setdefault(whole[whole.lastindex or 0], set())
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                    first = node.args[0]
                    if isinstance(first, ast.Constant) and _CODE.fullmatch(str(first.value)):
                        found.setdefault(str(first.value), set()).add(node.func.id)
    return found


def test_every_code_that_is_raised_is_registered_and_every_registered_one_is_raised() -> None:
    assert sorted(_raised()) == sorted(error_codes())


def test_every_code_is_registered_as_what_it_is_raised_as() -> None:
    wrong = {
        code: classes
        for code, classes in _raised().items()
        if code not in RAISED_IN_TWO_WAYS
        and code in error_codes()
        and {_CLASSES[name] for name in classes if name in _CLASSES} - {error_codes()[code].kind}
    }
    assert wrong == {}


@pytest.mark.parametrize("code", error_codes())
def test_every_code_is_explained_in_words_without_a_full_stop(code: str) -> None:
    found = error_codes()[code]
    for text in (found.cause, found.remedy):
        assert text
        assert text == " ".join(text.split())
        assert not text.endswith(".")
    _, cause, remedy = explain_lines(code)
    assert cause.endswith(found.cause)
    assert remedy.endswith(found.remedy)


def test_the_command_explains_a_code_however_it_is_written(tmp_path: Path) -> None:
    told = [spanscan("check", "--explain", name, home=tmp_path) for name in ("E_NO_CRS", "no_crs", "no-crs")]
    assert {one.exit_code for one in told} == {0}
    assert len({one.stdout for one in told}) == 1
    assert "gsd_m in survey.json" in told[0].stdout


def test_an_unknown_code_is_answered_with_those_that_are_near() -> None:
    with pytest.raises(UsageError, match="E_NO_CRS"):
        explain_lines("E_NOCRS")


def test_all_codes_are_explained_at_once(tmp_path: Path) -> None:
    told = spanscan("check", "--explain", "all", home=tmp_path)
    assert [line.split()[0] for line in told.stdout.splitlines() if line.startswith("E_")] == list(error_codes())


def test_readme_lists_the_codes() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    if README_START not in readme:
        pytest.skip("README has no table of codes yet")
    block = readme[readme.index(README_START) : readme.index(README_END) + len(README_END)]
    assert block == codes_markdown(), "write it anew by `python -m flows.explain`"
