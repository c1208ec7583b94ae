"""How far a stage is, in figures and in one sentence. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StageProgress:
    """A stage at one moment."""

    stage: str
    unit: str
    """What is counted: blocks, structures."""
    done: int
    total: int
    found_done: int
    """Of `done`, those of an earlier attempt."""
    elapsed_s: float
    pixels: int | None
    """Pixels that the stage goes through; None where it goes through none."""
    peak_bytes: int
    """The most that this process has held."""
    device_bytes: int | None
    """What this process holds of its GPU; None without one."""

    @property
    def percent(self) -> float:
        """Share that is done, 0 … 100.

        >>> StageProgress("segment", "blocks", 3, 12, 0, 60.0, None, 0, None).percent
        25.0
        """
        return 100.0 * self.done / self.total if self.total else 100.0

    @property
    def mpx_per_s(self) -> float | None:
        """Megapixels per second of this attempt, as if all blocks were of one size; None before the first."""
        worked = self.done - self.found_done
        if self.pixels is None or worked <= 0 or self.elapsed_s <= 0 or not self.total:
            return None
        return self.pixels / 1e6 * worked / self.total / self.elapsed_s

    @property
    def eta_s(self) -> float | None:
        """Seconds to the stage's end at the pace so far; None before the first.

        >>> StageProgress("segment", "blocks", 7, 12, 2, 50.0, None, 0, None).eta_s  # 5 in 50 s, 5 left
        50.0
        """
        worked = self.done - self.found_done
        return (self.total - self.done) * self.elapsed_s / worked if worked > 0 else None

    def sentence(self) -> str:
        """For people.

        >>> StageProgress("segment", "blocks", 7, 12, 2, 50.0, 24_000_000, 1_900_000_000, None).sentence()
        'segment: 7 of 12 blocks, 5 left; 0.2 Mpx/s; 0:50 to go; peak memory 1.9 GB'
        """
        told = [f"{self.stage}: {self.done} of {self.total} {self.unit}, {self.total - self.done} left"]
        if self.mpx_per_s is not None:
            told.append(f"{self.mpx_per_s:.2g} Mpx/s")
        if self.eta_s is not None and self.done < self.total:
            told.append(f"{clock_text(self.eta_s)} to go")
        if self.device_bytes is not None:
            told.append(f"device memory {self.device_bytes / 1e9:.1f} GB")
        return "; ".join([*told, f"peak memory {self.peak_bytes / 1e9:.1f} GB"])


def clock_text(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> clock_text(50.2), clock_text(3725)
    ('0:50', '1:02:05')
    """
    minutes, whole_s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{whole_s:02d}" if hours else f"{minutes}:{whole_s:02d}"
