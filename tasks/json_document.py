"""JSON from strangers: bounded size, bounded depth, text that can be written again."""

import json
import unicodedata
from typing import Any

from segmentation.errors import InputRejected


def parse_json(data: bytes, *, name: str, code: str, max_bytes: int) -> Any:
    """The parsed document; raises InputRejected `code` (E_LIMIT for one that is too large). NaN is kept as such."""
    if len(data) > max_bytes:
        cause = f"the document must be at most {max_bytes} bytes, got {len(data)}"
        raise InputRejected("E_LIMIT", name, cause, "simplify it, or raise SPANSCAN_MAX_DOCUMENT_BYTES")
    try:
        return json.loads(data)
    except RecursionError:
        raise InputRejected(code, name, "the document must not be nested deeply", "write plain JSON") from None
    except ValueError as error:
        cause = f"the document must be JSON, got: {' '.join(str(error).split())[:200]}"
        raise InputRejected(code, name, cause, "write it again") from None


LONGEST_TEXT = 10_000
"""Characters of a name, an id or the like: they stand in every report, table and log line."""


def clean_text(value: str) -> str:
    r"""Text in NFC without what no file can hold or what a terminal would obey: control characters, lone surrogates.

    >>> clean_text("a\ud800\x1b[2J\nb")
    'a\ufffd\ufffd[2J b'
    """
    spaced = unicodedata.normalize("NFC", " ".join(value.split()))
    return "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cs") else c for c in spaced)
