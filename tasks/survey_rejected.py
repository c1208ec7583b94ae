"""The rejection of a whole survey, with every input that is to blame."""

from typing import Any

from segmentation.errors import InputRejected
from segmentation.records import RejectedInput


class SurveyRejected(InputRejected):
    """A survey with inputs that must not be inspected; its text has one line for each."""

    def __init__(self, survey_uri: str, rejected: tuple[RejectedInput, ...]) -> None:
        self.rejected = rejected
        """The inputs to blame, in the order of their names."""
        codes = sorted({one.code for one in rejected})
        super().__init__(
            codes[0] if len(codes) == 1 else "E_REJECTED",
            survey_uri,
            f"every raster of a survey must pass its checks, got {len(rejected)} that do not ({', '.join(codes)})",
            "mend or remove them, or go on without them by --skip-rejected",
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.subject, self.rejected)

    def __str__(self) -> str:
        return "\n".join(one.message for one in self.rejected)


def rejected_input(name: str, error: InputRejected) -> RejectedInput:
    """The record of one refused input."""
    return RejectedInput(name, error.code, str(error))
