"""Every code that the product can give, with its cause and its remedy: README's table is made of this registry."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import yaml

from segmentation.errors import InputRejected, RunFailed, SpanscanError, UsageError

KINDS: Final[Mapping[str, type[SpanscanError]]] = {"input": InputRejected, "usage": UsageError, "run": RunFailed}
"""The kinds of failures, by what must be mended: the input, the command, or what the run needs."""

_REGISTRY = Path(__file__).with_suffix(".yaml")


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """What a code stands for."""

    code: str
    """For instance ``E_NO_CRS``."""
    kind: str
    """One of `KINDS`: the kind that it is nearly always raised as."""
    cause: str
    """What went wrong, without figures, without a full stop."""
    remedy: str
    """What to do about it, without a full stop."""

    @property
    def exit_code(self) -> int:
        """How a command ends."""
        return KINDS[self.kind].exit_code


@cache
def error_codes() -> Mapping[str, ErrorCode]:
    """All codes in the order of their kinds and names.

    >>> error_codes()["E_EMPTY"].remedy
    'upload the file again'
    """
    document = yaml.safe_load(_REGISTRY.read_text(encoding="utf-8"))
    return {
        code: ErrorCode(code, kind, told["cause"], told["remedy"])
        for kind in KINDS
        for code, told in document[kind].items()
    }
