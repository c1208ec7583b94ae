"""Fonts of the PDF: packaged ones, the machine's where those lack a character, code points where none has it."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from fontTools.ttLib import TTFont, TTLibError
from typst import FontInfo, Fonts

_FOLDERS: Final = ("source-sans/ttf", "kurinto/ttf")
_FACES: Final = {
    "Source Sans 3": "source-sans/ttf/SourceSans3-Regular.ttf",
    "Kurinto Sans": "kurinto/ttf/KurintoSans-Rg.ttf",
    "Kurinto Sans SC": "kurinto/ttf/KurintoSansSC-Rg.ttf",
    "Kurinto Sans TC": "kurinto/ttf/KurintoSansTC-Rg.ttf",
    "Kurinto Sans JP": "kurinto/ttf/KurintoSansJP-Rg.ttf",
    "Kurinto Sans KR": "kurinto/ttf/KurintoSansKR-Rg.ttf",
}
"""File of each packaged family; its other weights hold the same characters."""
_EVERY_SCRIPT: Final = ("Source Sans 3", "Kurinto Sans")
_KANA: Final = re.compile("[\u3041-\u30ff\uff66-\uff9d]")
_HANGUL: Final = re.compile("[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]")
_NEVER: Final = frozenset({"Cc", "Cn", "Co", "Cs"})
"""Control, unassigned, private and surrogate code points: no font gives them a meaning that all share."""
_SHAPING: Final = "\t\n\u00ad\u034f\u061c\u200b-\u200f\u2060\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef"
"""Characters that shape or part their neighbours and are never drawn themselves."""
_IS_SHAPING: Final = re.compile(f"[{_SHAPING}]")
_LOST_JOINER: Final = re.compile("(?<=[\u0000-\u05ff\u1e00-\u206f])[\u200c\u200d\ufe00-\ufe0f]+")
"""Joiners and variation selectors behind a letter they cannot change; typst would make them part of that letter."""


@dataclass(frozen=True, slots=True)
class Typeface:
    """What one report is set with."""

    fonts: Fonts
    families: tuple[str, ...]
    """In the order of preference."""
    unshown: frozenset[str]
    """Characters, and letters with their marks, that no font has."""

    def shown(self, text: str) -> str:
        """`text` with each character that no font has as its code point: ``‹U+1F6A7›``."""
        text = _LOST_JOINER.sub("", text)
        for group in sorted(self.unshown, key=lambda group: (-len(group), group)):
            kept = group[0] if len(group) > 1 and group[0] not in self.unshown else ""
            text = text.replace(group, kept + "".join(f"‹U+{ord(char):04X}›" for char in group[len(kept) :]))
        return text


def typeface_for(text: str) -> Typeface:
    """The typeface for a report that holds this text.

    The packaged fonts (weblate-fonts: Source Sans 3, Kurinto Sans) set the same PDF on every machine. Only where they
    lack a character, the fonts that this machine has installed are used for it.
    """
    packaged = _families(text)
    left = _groups(_LOST_JOINER.sub("", text))
    for family in packaged:
        left -= _held(left, _root() / _FACES[family], 0)
    never = frozenset(group for group in left if any(unicodedata.category(char) in _NEVER for char in group))
    left -= never
    borrowed: dict[str, None] = {}
    for font in _installed() if left else ():
        held = _held(left, Path(font.path or ""), font.index)
        if held:
            borrowed[font.family] = None
            left -= held
        if not left:
            break
    return Typeface(_fonts(installed=bool(borrowed)), (*packaged, *borrowed), left | never)


def _families(text: str) -> tuple[str, ...]:
    """Chinese, Japanese and Korean draw the same code points differently: the script beside them tells which."""
    han = f"Kurinto Sans {'JP' if _KANA.search(text) else 'KR' if _HANGUL.search(text) else 'SC'}"
    return (*_EVERY_SCRIPT, han, *(family for family in _FACES if family not in (*_EVERY_SCRIPT, han)))


def _groups(text: str) -> frozenset[str]:
    """What must each be found in one font: the characters, and each letter with the marks on it."""
    singles = {char for char in set(text) if not char.isascii() and not _IS_SHAPING.match(char)}
    marks = {char for char in singles if unicodedata.category(char).startswith("M")}
    if not marks:
        return frozenset(singles)
    mark = "".join(sorted(marks))
    return frozenset(singles - marks) | frozenset(re.findall(f".[{mark}{_SHAPING}]*[{mark}]", text, re.DOTALL))


def _held(groups: frozenset[str], path: Path, index: int) -> frozenset[str]:
    codes = _codes(path, index)
    return frozenset(
        group
        for group in groups
        if all(ord(char) in codes for char in _IS_SHAPING.sub("", group))
        or all(ord(char) in codes for char in unicodedata.normalize("NFC", _IS_SHAPING.sub("", group)))
    )


def _root() -> Path:
    return Path(str(files("weblate_fonts"))) / "static" / "weblate_fonts"


@cache
def _fonts(*, installed: bool) -> Fonts:
    """Fonts as typst reads them, once per process."""
    folders = [_root() / folder for folder in _FOLDERS]
    return Fonts(include_system_fonts=installed, include_embedded_fonts=False, font_paths=folders)


@cache
def _installed() -> tuple[FontInfo, ...]:
    """The machine's upright fonts of normal weight, in an order that does not depend on its folders' order."""
    own = str(_root())
    fonts = (font for font in _fonts(installed=True).fonts() if font.style == "normal" and font.weight == 400)
    outer = (font for font in fonts if font.path is not None and not font.path.startswith(own))
    return tuple(sorted(outer, key=lambda font: (font.family, font.path or "", font.index)))


@cache
def _codes(path: Path, index: int) -> frozenset[int]:
    """Code points that a font file has glyphs for; none for a file that cannot be read."""
    try:
        with TTFont(path, lazy=True, fontNumber=index) as font:
            return frozenset(font.getBestCmap() or ())
    except (OSError, TTLibError):
        return frozenset()
