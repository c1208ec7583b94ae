"""What became of each defect: NEW, GROWN, STATIC, REPAIRED or NOT SEEN, with its growth ± and why.

A change smaller than the combined uncertainty is STATIC. A crack that is shorter than it was has not healed: its ends
were not found, so that it is STATIC with a remark, and REPAIRED is said only where nothing of it is left at a place
that was inspected and could have shown it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from segmentation.classes import CLASS_NAMES, PixelClass
from segmentation.comparison.grids import Extent
from segmentation.comparison.matching import Group, matched
from segmentation.comparison.missed import with_mean_width, with_missed_area, with_missed_length
from segmentation.comparison.records import Change, DefectChange, Growth, Seen, SurveyDefect, SurveyLimits
from segmentation.comparison.registration import Registration
from segmentation.comparison.sides import Compared
from segmentation.comparison.uncertainty import (
    area_uncertainty_m2,
    combined,
    length_uncertainty_m,
    mean_width_uncertainty_mm,
    width_uncertainty_mm,
)

CONFIDENCE_PERCENT: Final = 95
"""At which a growth is called one: each of a crack's two sizes is tested one-sided at 97.5 %."""
_INSPECTED_SHARE: Final = 0.8
"""Of a place, what must have been inspected for its emptiness to mean something."""
_MARKED_SHARE: Final = 0.4
"""Of a place, what the other mask must mark for the defect to be there, though not listed."""
_SHOWN_SHARE: Final = 0.5
"""Of a defect, what the other survey's picture must show for it to be there, though not found."""
_COMPARED_SHARE: Final = 0.2
"""Of a matched defect, what the other survey must have inspected for its growth to mean something."""


def registered(defects: Sequence[SurveyDefect], registration: Registration) -> tuple[SurveyDefect, ...]:
    """The older survey's defects where the newer one states them, their sizes in its scale."""
    lay = registration.older_to_newer
    return tuple(
        replace(
            defect,
            geometry=lay.of_geometry(defect.geometry),
            length_m=None if defect.length_m is None else defect.length_m * lay.scale,
            max_width_mm=None if defect.max_width_mm is None else defect.max_width_mm * lay.scale,
            mean_width_mm=None if defect.mean_width_mm is None else defect.mean_width_mm * lay.scale,
            width_uncertainty_mm=None
            if defect.width_uncertainty_mm is None
            else defect.width_uncertainty_mm * lay.scale,
            mean_width_uncertainty_mm=None
            if defect.mean_width_uncertainty_mm is None
            else defect.mean_width_uncertainty_mm * lay.scale,
            bridged_m=defect.bridged_m * lay.scale,
            area_m2=defect.area_m2 * lay.scale**2,
            gsd_m=defect.gsd_m * lay.scale,
        )
        for defect in defects
    )


def changes_between(
    older: Compared, newer: Compared, registration: Registration, extent: Extent
) -> tuple[DefectChange, ...]:
    """What became of every defect of both surveys, those found now first; `older` is `registered` already."""
    scale_uncertainty = registration.scale_uncertainty(extent)
    groups = matched(older.defects, newer.defects, residual_m=registration.residual_m, gsd_m=registration.gsd_m)
    return tuple(_change(group, older, newer, scale_uncertainty) for group in groups)


def minted_id(run_key: str, defect_id: str) -> str:
    """The id under which a defect goes on: that of the run that found it first, and its id there.

    >>> minted_id("1f6de2584386c30f", "C-0007")
    'C-0007.1f6de258'
    """
    return f"{defect_id}.{run_key[:8]}"


def _stable(defect: SurveyDefect, run_key: str) -> str:
    return defect.stable_id or minted_id(defect.carried_from or run_key, defect.id)


def _change(group: Group, older: Compared, newer: Compared, scale_uncertainty: float) -> DefectChange:
    if not group.older:
        return _alone(group, newer, older, is_newer=True)
    if not group.newer:
        return _alone(group, older, newer, is_newer=False)
    return _both(group, older, newer, scale_uncertainty)


def _alone(group: Group, own: Compared, other: Compared, *, is_newer: bool) -> DefectChange:
    (index,) = group.newer or group.older
    defect, seen = own.defects[index], own.seen[index]
    other_name, when = ("older", "then") if is_newer else ("newer", "this time")
    reason = _why_unseen(defect, seen, other.limits, when)
    remarks: tuple[str, ...] = () if reason is None else (reason,)
    change = Change.NEW if is_newer else Change.REPAIRED
    if reason is not None:
        change = Change.NOT_SEEN
    elif seen.marked_share >= _MARKED_SHARE:
        change = Change.STATIC
        remarks = (f"marked in the {other_name} survey's mask, but in pieces too small to be listed",)
    elif (visible := own.shown(index)) is not None and visible.share >= _SHOWN_SHARE:
        change = Change.STATIC
        remarks = (f"not found in the {other_name} survey, whose picture shows it all the same",)
    return DefectChange(
        stable_id=_stable(defect, own.run_key),
        change=change,
        pixel_class=defect.pixel_class,
        older_ids=() if is_newer else (defect.id,),
        newer_ids=(defect.id,) if is_newer else (),
        length_m=None,
        max_width_mm=None,
        area_m2=None,
        distance_m=None,
        inspected_share=seen.inspected_share,
        unseen_in=other_name if reason is not None else None,
        remarks=remarks,
    )


def _why_unseen(defect: SurveyDefect, seen: Seen, other: SurveyLimits, when: str) -> str | None:
    """Why the other survey's silence means nothing; None where it does mean something."""
    name = CLASS_NAMES[defect.pixel_class]
    if defect.pixel_class not in other.looks_for:
        return f"{name} was not looked for {when}"
    if seen.inspected_share < _INSPECTED_SHARE:
        unseen = f"{100 * (1 - seen.inspected_share):.0f} % of its place was"
        return f"{'its place was' if unseen.startswith('100 ') else unseen} not inspected {when}"
    if defect.pixel_class == PixelClass.RUST:
        least_m2 = other.min_rust_area_px * other.gsd_m**2
        return f"smaller than what was listed {when}" if defect.area_m2 < least_m2 else None
    if (defect.length_m or 0.0) < other.min_crack_length_px * other.gsd_m:
        return f"shorter than what was listed {when}"
    width_m = defect.area_m2 / defect.length_m if defect.length_m else 0.0
    if other.gsd_m > 1.2 * defect.gsd_m and width_m < other.gsd_m:
        return f"narrower than a pixel of {other.gsd_m * 1000:.2g} mm, which could not be seen {when}"
    return None


def _both(group: Group, older: Compared, newer: Compared, scale_uncertainty: float) -> DefectChange:
    before = [older.defects[index] for index in group.older]
    now = [newer.defects[index] for index in group.newer]
    then_shares = [older.seen[index].inspected_share for index in group.older]
    now_shares = [newer.seen[index].inspected_share for index in group.newer]
    carried = [defect.carried_from for defect in before if defect.carried_from is not None]
    if len(carried) == len(before):
        # The older survey did not see it, the one before it did: that one's measure is compared.
        now_shares = [1.0] * len(now)
    is_crack = now[0].pixel_class == PixelClass.CRACK
    length = _length_growth(before, now, then_shares, now_shares, scale_uncertainty) if is_crack else None
    width = _width_growth(before, now, scale_uncertainty) if is_crack else None
    area = None if is_crack else _area_growth(before, now, then_shares, now_shares, scale_uncertainty)
    told: list[str] = []
    if length is not None and length.is_significant:
        length, told = with_missed_length(length, group, older, newer)
    if area is not None and area.is_significant:
        area, told = with_missed_area(area, group, older, newer)
    if width is not None and width.is_significant:
        width, doubt = with_mean_width(width, _mean_growth(before, now, scale_uncertainty))
        told = [*told, *doubt]
    share = min(_mean(then_shares, before), _mean(now_shares, now))
    heir, absorbed = _heirs(group, older)
    if share < _COMPARED_SHARE:
        unseen = "newer" if _mean(then_shares, before) <= _mean(now_shares, now) else "older"
        change = Change.NOT_SEEN
        remarks = [f"only {100 * share:.0f} % of its place was inspected both times"]
    else:
        unseen = None
        grown = any(one is not None and one.is_significant for one in (length, width, area))
        change = Change.GROWN if grown else Change.STATIC
        remarks = [*told, *_remarks(length, area, share, before, now)]
    if carried:
        remarks.append(f"last seen before in run {', '.join(sorted(set(carried)))}")
    return DefectChange(
        stable_id=heir,
        change=change,
        pixel_class=now[0].pixel_class,
        older_ids=tuple(defect.id for defect in before),
        newer_ids=tuple(defect.id for defect in now),
        length_m=length,
        max_width_mm=width,
        area_m2=area,
        distance_m=sum(link.distance_m * link.overlap for link in group.links)
        / max(sum(link.overlap for link in group.links), 1e-12)
        if is_crack
        else None,
        inspected_share=share,
        absorbed_ids=absorbed,
        unseen_in=unseen,
        remarks=tuple(remarks),
    )


def _heirs(group: Group, older: Compared) -> tuple[str, tuple[str, ...]]:
    """The id that goes on, that of the largest part, and those that it absorbs."""

    def size(index: int) -> float:
        defect = older.defects[index]
        return defect.length_m if defect.length_m is not None else defect.area_m2

    ordered = sorted(group.older, key=lambda index: (-size(index), index))
    ids = list(dict.fromkeys(_stable(older.defects[index], older.run_key) for index in ordered))
    return ids[0], tuple(ids[1:])


def _length_growth(
    before: Sequence[SurveyDefect],
    now: Sequence[SurveyDefect],
    then_shares: Sequence[float],
    now_shares: Sequence[float],
    scale_uncertainty: float,
) -> Growth:
    older_m = sum((d.length_m or 0.0) * share for d, share in zip(before, then_shares, strict=True))
    newer_m = sum((d.length_m or 0.0) * share for d, share in zip(now, now_shares, strict=True))
    parts = [length_uncertainty_m(defect) for defect in (*before, *now)]
    return Growth(older_m, newer_m, combined([*parts, scale_uncertainty * newer_m]))


def _area_growth(
    before: Sequence[SurveyDefect],
    now: Sequence[SurveyDefect],
    then_shares: Sequence[float],
    now_shares: Sequence[float],
    scale_uncertainty: float,
) -> Growth:
    older_m2 = sum(d.area_m2 * share for d, share in zip(before, then_shares, strict=True))
    newer_m2 = sum(d.area_m2 * share for d, share in zip(now, now_shares, strict=True))
    parts = [area_uncertainty_m2(defect) for defect in (*before, *now)]
    return Growth(older_m2, newer_m2, combined([*parts, 2 * scale_uncertainty * newer_m2]))


def _width_growth(
    before: Sequence[SurveyDefect], now: Sequence[SurveyDefect], scale_uncertainty: float
) -> Growth | None:
    """Of the largest widths; None where one of the surveys can state none."""
    widest = [max(side, key=lambda defect: defect.max_width_mm or 0.0) for side in (before, now)]
    older_mm, newer_mm = (defect.max_width_mm for defect in widest)
    if older_mm is None or newer_mm is None:
        return None
    parts = [width_uncertainty_mm(defect) for defect in widest]
    return Growth(older_mm, newer_mm, combined([*parts, scale_uncertainty * newer_mm]))


def _mean_growth(
    before: Sequence[SurveyDefect], now: Sequence[SurveyDefect], scale_uncertainty: float
) -> Growth | None:
    """Of the mean widths, each part by its length; None where one of the surveys can state none."""
    means: list[float] = []
    for side in (before, now):
        stated = [(defect.mean_width_mm, defect.length_m or 0.0) for defect in side]
        total_m = sum(length_m for width_mm, length_m in stated if width_mm is not None)
        if not total_m:
            return None
        means.append(sum(width_mm * length_m for width_mm, length_m in stated if width_mm is not None) / total_m)
    parts = [max(map(mean_width_uncertainty_mm, side)) for side in (before, now)]
    return Growth(means[0], means[1], combined([*parts, scale_uncertainty * means[1]]))


def _mean(shares: Sequence[float], defects: Sequence[SurveyDefect]) -> float:
    sizes = [defect.length_m if defect.length_m is not None else defect.area_m2 for defect in defects]
    total = sum(sizes)
    return sum(share * size for share, size in zip(shares, sizes, strict=True)) / total if total else 1.0


def _remarks(
    length: Growth | None,
    area: Growth | None,
    share: float,
    before: Sequence[SurveyDefect],
    now: Sequence[SurveyDefect],
) -> list[str]:
    remarks = []
    if length is not None and length.is_loss:
        remarks.append("part of its length was not found this time; cracks do not heal, so this is no repair")
    if area is not None and area.is_loss:
        remarks.append("smaller than before: partly repaired, cleaned or not found")
    if share < _INSPECTED_SHARE:
        remarks.append(f"compared where both surveys inspected it, {100 * share:.0f} % of it")
    if len(before) > 1:
        remarks.append(f"{len(before)} defects of the older survey")
    if len(now) > 1:
        remarks.append(f"found in {len(now)} parts this time")
    return remarks
