"""A sheet of the worst and the best cases: the picture, the truth outlined, the prediction outlined, the score."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_dilation

from flows.evaluate_model import FolderCase, ModelScore, ScoredPicture, UndamagedPicture, decoded_mask
from flows.labelled_folder import read_image, read_truth
from segmentation.classes import DEFECT_CLASSES, PixelClass
from segmentation.training.evaluation import EvaluationRules
from segmentation.training.metrics import Counts
from tasks.report.pictures import CLASS_COLOURS

Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

CASES = 4
"""Worst cases, and as many best ones."""
_SIDE_PX = 400
_GAP_PX = 10
_MARGIN_PX = 28
_WIDTH_PX = 2 * (3 * _SIDE_PX + 2 * _GAP_PX) + 4 * _MARGIN_PX
"""Two cases of three square panels."""
_LEAST_CASE_PX = 480
"""Room for a score and a file name."""
_HEAD_PX = 92
_SECTION_PX = 54
_CAPTION_PX = 30
_GROUND, _INK, _FAINT = (250, 250, 248), (24, 28, 34), (110, 116, 124)
_GREYED = 0.35
"""How much of its colour an ignored pixel keeps."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One row of the sheet."""

    panels: tuple[Image.Image, ...]
    """Pictures of one size, left to right."""
    caption: str
    """What it is."""
    score: str
    """How well it went."""


def case_score(counts: Counts, pixel_class: PixelClass) -> float:
    """What cases are ordered by: tolerant F1 of cracks, F1 of rust; without damage 1 if nothing is found, else 0."""
    if counts.true_positive + counts.false_negative == 0:
        return float(counts.false_positive == 0)
    return counts.tolerant_f1 if pixel_class == PixelClass.CRACK else counts.f1


def write_sheet(path: Path, result: ModelScore, case: FolderCase, rules: EvaluationRules, *, title: str) -> None:
    """Draw the worst and the best pictures of a model as a PNG."""

    def score(picture: ScoredPicture) -> float:
        return case_score(picture.score.counts[rules.tolerance_px], rules.pixel_class)

    ordered = sorted(result.pictures, key=lambda picture: (score(picture), picture.score.name))
    worst = ordered[: min(CASES, (len(ordered) + 1) // 2)]
    best = ordered[len(worst) :][-CASES:][::-1]
    measure = f"F1 within {rules.tolerance_px:g} px" if rules.pixel_class == PixelClass.CRACK else "F1"

    def drawn(picture: ScoredPicture) -> Case:
        return _case(picture, case, rules, f"{measure} {score(picture):.2f}")

    sections = [("Worst", [drawn(picture) for picture in worst]), ("Best", [drawn(picture) for picture in best])]
    subtitle = "each: picture · truth · prediction; what the masks ignore is greyed"
    _draw(sections, title=title, subtitle=subtitle).save(path, "PNG")


def write_undamaged_sheet(path: Path, pictures: Sequence[UndamagedPicture], *, title: str) -> None:
    """Draw the pictures in which most is called damage, as a PNG."""

    def share(picture: UndamagedPicture) -> float:
        return sum(picture.called_px.values()) / max(picture.pixels, 1)

    worst = sorted(pictures, key=lambda picture: (-share(picture), picture.image.name))[: 2 * CASES]
    cases = []
    for picture in worst:
        image, _ = read_image(picture.image)
        shown, mask = fitted(image), fitted_mask(decoded_mask(picture.mask_png))
        panels = (Image.fromarray(shown), Image.fromarray(outlined(shown, mask)))
        cases.append(Case(panels, picture.image.name, f"{100 * share(picture):.3f} % called damage"))
    _draw([("Most called damage", cases)], title=title, subtitle="each: picture · prediction").save(path, "PNG")


def fitted(image: Bytes) -> Bytes:
    """A picture ``(H, W, 3)`` made as large as a panel allows; small ones are enlarged pixel by pixel."""
    way = Image.Resampling.BOX if max(image.shape[:2]) > _SIDE_PX else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(image).resize(_panel_size(image.shape[0], image.shape[1]), way))


def fitted_mask(mask: Bytes) -> Bytes:
    """A mask of class ids ``(H, W)`` at the size of `fitted`; no damage is lost, however thin."""
    height, width = mask.shape
    size = _panel_size(height, width)
    rows, cols = (np.arange(n + 1) * old // n for n, old in zip(size[::-1], (height, width), strict=True))
    if max(height, width) <= _SIDE_PX:
        return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    return np.asarray(np.maximum.reduceat(np.maximum.reduceat(mask, rows[:-1], axis=0), cols[:-1], axis=1), np.uint8)


def outlined(image: Bytes, mask: Bytes) -> Bytes:
    """A copy of a picture ``(H, W, 3)`` with each class of the mask ``(H, W)`` outlined a pixel outside it.

    Finer than the outlines of a report: here pixels are compared, and specks must not look like cracks.
    """
    drawn = image.copy()
    square = np.ones((3, 3), np.bool_)
    for pixel_class in DEFECT_CLASSES:
        inside = mask == pixel_class
        near = binary_dilation(inside, square)
        line = binary_dilation(near, square)
        casing = binary_dilation(line, square)
        drawn[casing & ~line] = (drawn[casing & ~line] * 0.4).astype(np.uint8)
        drawn[line & ~near] = CLASS_COLOURS[pixel_class]
    return drawn


def _panel_size(height: int, width: int) -> tuple[int, int]:
    factor = _SIDE_PX / max(height, width)
    return max(1, round(width * factor)), max(1, round(height * factor))


def _case(picture: ScoredPicture, case: FolderCase, rules: EvaluationRules, score: str) -> Case:
    image, validity = read_image(picture.picture.image)
    truth, labelled = read_truth(
        picture.picture.mask, form=case.form, pixel_class=rules.pixel_class, size=(image.shape[0], image.shape[1])
    )
    counted = labelled & validity
    predicted = decoded_mask(picture.predicted_png) > 0
    plain = fitted(image)
    grey = fitted_mask((~counted).astype(np.uint8)) > 0
    faded = plain.copy()
    faded[grey] = (plain[grey] * _GREYED + 255 * (1 - _GREYED) * 0.75).astype(np.uint8)
    compared = [
        outlined(faded, fitted_mask(np.where(shown & counted, np.uint8(rules.pixel_class), np.uint8(0))))
        for shown in (truth, predicted)
    ]
    counts = picture.score.counts[rules.tolerance_px]
    precision, recall = (
        (counts.tolerant_precision, counts.tolerant_recall)
        if rules.pixel_class == PixelClass.CRACK
        else (counts.precision, counts.recall)
    )
    told = f"{score}   precision {_told(precision)}   recall {_told(recall)}"
    return Case(tuple(Image.fromarray(panel) for panel in (plain, *compared)), picture.score.name, told)


def _draw(sections: Sequence[tuple[str, Sequence[Case]]], *, title: str, subtitle: str) -> Image.Image:
    """Cases in rows below the heading of their section, as many in a row as fit."""
    rows = [(name, _rows(cases)) for name, cases in sections if cases]
    height = _HEAD_PX + _MARGIN_PX
    height += sum(_SECTION_PX + sum(_row_height(row) for row in found) for _, found in rows)
    sheet = Image.new("RGB", (_WIDTH_PX, height), _GROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN_PX, 22), title, font=ImageFont.load_default(size=26), fill=_INK)
    draw.text((_MARGIN_PX, 58), subtitle, font=ImageFont.load_default(size=17), fill=_FAINT)
    top = _HEAD_PX
    for name, found in rows:
        draw.line((_MARGIN_PX, top + 6, _WIDTH_PX - _MARGIN_PX, top + 6), fill=(214, 216, 218))
        draw.text((_MARGIN_PX, top + 16), name, font=ImageFont.load_default(size=22), fill=_INK)
        top += _SECTION_PX
        for row in found:
            left = _MARGIN_PX
            for case in row:
                _draw_case(sheet, case, left=left, top=top)
                left += _case_width(case) + 2 * _MARGIN_PX
            top += _row_height(row)
    return sheet


def _rows(cases: Sequence[Case]) -> list[list[Case]]:
    rows: list[list[Case]] = [[]]
    for case in cases:
        taken = sum(_case_width(other) + 2 * _MARGIN_PX for other in rows[-1])
        if rows[-1] and _MARGIN_PX + taken + _case_width(case) + _MARGIN_PX > _WIDTH_PX:
            rows.append([])
        rows[-1].append(case)
    return rows


def _draw_case(sheet: Image.Image, case: Case, *, left: int, top: int) -> None:
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=17)
    draw.text((left, top), case.score, font=font, fill=_INK)
    room = _case_width(case) - draw.textlength(case.score, font=font) - 2 * _GAP_PX
    caption = case.caption
    while caption and draw.textlength(caption, font=font) > room:
        caption = caption[1:]
    draw.text((left + _case_width(case), top), caption, font=font, fill=_FAINT, anchor="ra")
    for panel in case.panels:
        sheet.paste(panel, (left, top + _CAPTION_PX))
        left += panel.width + _GAP_PX


def _case_width(case: Case) -> int:
    return max(_LEAST_CASE_PX, sum(panel.width + _GAP_PX for panel in case.panels) - _GAP_PX)


def _row_height(row: Sequence[Case]) -> int:
    return _CAPTION_PX + max(panel.height for case in row for panel in case.panels) + _MARGIN_PX


def _told(value: float) -> str:
    return f"{value:.2f}" if value == value else "–"
