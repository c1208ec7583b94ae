"""In which number format a net is trained on a device, and whether each run gives the same bits."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from segmentation.errors import UsageError


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Number format of the forward pass; weights, gradients of weights and losses stay float32."""

    device: str
    """``cpu`` or ``cuda``."""
    dtype: torch.dtype
    """bfloat16, float16 or float32."""

    @property
    def scales_gradients(self) -> bool:
        """Whether gradients must be scaled to be held: float16 loses those below 6e-8."""
        return self.dtype == torch.float16

    def autocast(self) -> torch.autocast:
        """The context in which a forward pass is computed."""
        return torch.autocast(self.device, self.dtype, enabled=self.dtype != torch.float32)


def arithmetic_of(device: str, *, mixed_precision: bool) -> Arithmetic:
    """bfloat16 where it is had, which needs no scaling; float16 on older cards; float32 without mixed precision."""
    if not mixed_precision:
        return Arithmetic(device, torch.float32)
    if device == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return Arithmetic(device, torch.float16)
    return Arithmetic(device, torch.bfloat16)


@contextmanager
def repeatable(*, enabled: bool) -> Iterator[None]:
    """Allow only operations that give the same bits each time; else let cuDNN try what is fastest.

    On a GPU the environment must hold ``CUBLAS_WORKSPACE_CONFIG=:4096:8`` before CUDA starts.
    Raises UsageError ``E_DETERMINISTIC`` where the net has an operation without such a form.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(enabled)
    torch.backends.cudnn.benchmark = not enabled
    try:
        yield
    except RuntimeError as error:
        if not enabled or "determinis" not in str(error):
            raise
        cause = f"every operation must have a form that gives the same bits each time, got {error}"[:400]
        raise UsageError("E_DETERMINISTIC", "--deterministic", cause, "train without it, or on a CPU") from error
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
