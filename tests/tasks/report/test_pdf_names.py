"""Names in the PDF: of any script, any length and any intent, they stay words and stay on the page."""

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.report import pdf_fonts
from tasks.report.pdf_data import with_chances
from tasks.report.pdf_fonts import typeface_for
from tasks.report.structure_pdf import structure_pdf
from tasks.report.wording import clean_text
from tests.tasks.report.pdf_pages import all_text, clean_report, reader_of, report_of, squeezed, strip_is_white
from tests.tasks.report.samples import HOSTILE_NAME, RUN, bridge_deck, clean_deck

LONG = "Überführungsbauwerk" * 20
WIDE_NAMES = {
    "long file names": "deck_2025-05-04_east_side_flight_0007_orthomosaic_final_v2_" * 4,
    "hashes": "0123456789abcdef" * 20,
    "one long word": LONG,
    "one long arabic word": "جسر" * 90,
    "one long devanagari word": "सेतु" * 80,
    "capitals": "W" * 300,
}


@pytest.mark.parametrize("name", WIDE_NAMES.values(), ids=WIDE_NAMES.keys())
def test_nothing_is_drawn_in_the_margins_whatever_the_names(name: str) -> None:
    deck = bridge_deck(name=name)
    deck = replace(
        deck,
        structure=replace(deck.structure, id=name, kind=name, material=name),
        defects=tuple(replace(defect, id=f"{name}-{i}") for i, defect in enumerate(deck.defects)),
        grades=tuple(replace(grade, element=name, standard=name, grade=f"{name}; {name}") for grade in deck.grades),
        components=(replace(clean_deck(), structure=replace(deck.structure, name=name)),),
    )
    pdf = structure_pdf(report_of(deck, run=replace(RUN, survey_id=name, operator=name, warnings=(name,))))
    white = strip_is_white(pdf)
    assert white
    assert all(white)


HOSTILE = (
    '#import "@preview/x:1.0.0": *',
    "$x^2$ ] ) } #panic()",
    '<script>alert("x")</script> @ref <label>',
    "*bold* _soft_ `raw` = heading // comment",
    "\\u{41} \\#sys.version ~ -- --- ...",
    '#read("/etc/passwd") #json("report.json")',
    "https://example.org/a?b=c&d=1 'single' \"double\"",
    "{{ 7*7 }} ${7*7} =cmd|' /C calc'!A0",
)


def test_hostile_names_are_words_and_nothing_else() -> None:
    warnings = tuple(f"{index}: {name}" for index, name in enumerate(HOSTILE))
    deck = bridge_deck(name=HOSTILE[0])
    deck = replace(deck, defects=tuple(replace(d, id=n) for d, n in zip(deck.defects, HOSTILE[1:], strict=False)))
    pdf = structure_pdf(report_of(deck, run=replace(RUN, warnings=warnings)))
    text = squeezed(all_text(pdf))
    assert [name for name in (*warnings, *(d.id for d in deck.defects)) if squeezed(name) not in text] == []
    assert not [
        page for page in reader_of(pdf).pages for note in page.get("/Annots", []) if "/URI" in str(note.get_object())
    ]


def test_the_hostile_name_of_the_samples_is_the_title() -> None:
    report = report_of(bridge_deck(name=HOSTILE_NAME))
    metadata = reader_of(structure_pdf(report)).metadata
    assert metadata is not None
    assert metadata.title == report.title


SCRIPTS = {
    "latin": "Brücke Łódź Żuławy Şişli œuvre ếợẵ",
    "greek": "Γέφυρα Ρίου–Αντιρρίου ἄ",
    "cyrillic": "Крымский мост Ёлка Қазақ Ђурђевића",
    "chinese": "港珠澳大桥 關門橋樑",
    "japanese": "橋脚ひび割れサビ",
    "korean": "다리 교량 균열",
    "arabic": "جسر الملك فهد",
    "persian": "پل خواجو",
    "hebrew": "גשר המיתרים",
    "armenian": "Կամուրջ",
    "georgian": "ხიდი",
    "ethiopic": "ድልድይ",
    "devanagari": "गाँव का पुल सेतु क्षत्र",
    "tamil": "பாம்பன் பாலம்",
    "thai": "สะพานพระราม",
}
REORDERED = {"arabic", "persian", "hebrew", "devanagari", "tamil", "thai"}
"""Scripts whose letters a PDF holds in the order of drawing, some of them twice."""


@pytest.mark.parametrize("script", SCRIPTS)
def test_name_of_any_script_survives(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_fonts, "_installed", tuple)
    name = SCRIPTS[script]
    pdf = structure_pdf(replace(clean_report(), warnings=(name, name)))
    text = unicodedata.normalize("NFC", all_text(pdf))
    if script in REORDERED:
        assert set(unicodedata.normalize("NFC", name)) <= set(text)
    else:
        assert text.count(unicodedata.normalize("NFC", name)) == 2
    assert "‹U+" not in text


def test_character_that_no_font_has_stands_as_its_code_point_and_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_fonts, "_installed", tuple)
    named = replace(clean_report(), title="Bridge \U0001f6a7 \ue000 ស្ពាន \u0378")
    text = all_text(structure_pdf(named))
    assert "Bridge ‹U+1F6A7› ‹U+E000› ‹U+179F›‹U+17D2›‹U+1796›‹U+17B6›‹U+1793› ‹U+0378›" in text
    assert "A character that no font of the machine that made this file can draw" in text


def test_letter_keeps_a_mark_only_where_one_font_has_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_fonts, "_installed", tuple)
    text = "e\u0301 a\u17c6 \u0915\u0947"
    assert typeface_for(text).shown(text) == "e\u0301 a‹U+17C6› \u0915\u0947"


def test_joiner_behind_a_latin_letter_does_not_stick_to_that_letter_everywhere() -> None:
    pdf = structure_pdf(replace(clean_report(), warnings=("a\u200db\u200c c\ufe0f", "a b c")))
    assert not {"\u200c", "\u200d", "\ufe0f"} & set(all_text(pdf))


LETTERS = st.characters(categories=["Lo", "Mn", "Mc", "So", "Cf"])


@pytest.mark.slow
@given(st.text(max_size=40), st.text(alphabet=LETTERS, max_size=25))
@settings(max_examples=60, deadline=None)
def test_no_name_keeps_a_report_from_being_set(first: str, second: str) -> None:
    names = clean_text(first), clean_text(second), clean_text(first + second)
    report = replace(clean_report(), title=names[0] or "-", coverage=names[1], warnings=names)
    assert structure_pdf(report).startswith(b"%PDF-")


@given(st.text(alphabet=st.characters(exclude_characters="\u200b"), max_size=200))
def test_chances_for_a_line_end_change_no_character(text: str) -> None:
    assert with_chances(text).replace("\u200b", "") == text
