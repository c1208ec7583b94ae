"""What codes stand for: `spanscan check --explain CODE`, and README's table (``python -m flows.explain``)."""

import difflib
from collections.abc import Iterator

from segmentation.error_codes import KINDS, ErrorCode, error_codes
from segmentation.errors import UsageError

README_START, README_END = "<!-- codes: python -m flows.explain -->", "<!-- /codes -->"
_TITLES = {"input": "the input is rejected", "usage": "wrong usage", "run": "the run failed and can be resumed"}


def explain_lines(asked: str) -> list[str]:
    """Cause and remedy of a code, or of each where `all` is asked for; raises UsageError E_OPTIONS for an unknown one.

    The leading ``E_`` may be left out.
    """
    codes = error_codes()
    if asked.strip().lower() == "all":
        return [line for code in codes.values() for line in [*_lines(code), ""]][:-1]
    name = asked.strip().upper().replace("-", "_")
    found = codes.get(name) or codes.get(f"E_{name}")
    if found is None:
        near = difflib.get_close_matches(name, codes, n=3, cutoff=0.5)
        cause = f"the code must be one that spanscan gives, got {asked[:60]!r}"
        remedy = f"name {' or '.join(near)}, or `all`" if near else "name one of README's list, or `all`"
        raise UsageError("E_OPTIONS", "--explain", cause, remedy)
    return _lines(found)


def _lines(code: ErrorCode) -> list[str]:
    return [
        f"{code.code} (exit code {code.exit_code}: {_TITLES[code.kind]})",
        f"  cause:  {code.cause}",
        f"  remedy: {code.remedy}",
    ]


def codes_markdown() -> str:
    """README's table of codes between its two marks, one line a code."""
    return "\n".join([README_START, *_table(), README_END])


def _table() -> Iterator[str]:
    yield "| code | exit | cause |"
    yield "| --- | --- | --- |"
    for kind in KINDS:
        for code in error_codes().values():
            if code.kind == kind:
                yield f"| `{code.code}` | {code.exit_code} | {code.cause.replace('|', '/')} |"


if __name__ == "__main__":
    print(codes_markdown())  # noqa: T201
