"""Every failure that an operator can mend, with its stable code, its cause and its remedy."""


class SpanscanError(Exception):
    """A failure told to an operator in one line: subject, code, cause, remedy."""

    exit_code = 4

    def __init__(self, code: str, subject: str, cause: str, remedy: str) -> None:
        self.code = code
        """Stable identifier, for instance ``E_NO_CRS``."""
        self.subject = subject
        """The file, structure or setting it is about, as the operator knows it."""
        self.cause = cause
        """What must hold and what was got, without a full stop."""
        self.remedy = remedy
        """What to do about it, an imperative sentence without a full stop."""
        super().__init__(code, subject, cause, remedy)

    def __str__(self) -> str:
        return " ".join(f"{self.subject}: {self.code}: {self.cause}. Remedy: {self.remedy}.".split())


class UsageError(SpanscanError):
    """A setting or an argument that cannot be: exit code 2."""

    exit_code = 2


class InputRejected(SpanscanError):
    """An input that must not be inspected as it is: exit code 3, never retried."""

    exit_code = 3


class RunFailed(SpanscanError):
    """A run that stopped and can be resumed: exit code 4."""

    exit_code = 4
