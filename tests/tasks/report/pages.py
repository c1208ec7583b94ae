"""Reads a page as a browser's parser does, for the tests."""

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    text: str = ""
    first_chunk: int = 0


@dataclass
class Page(HTMLParser):
    """Every element of a page in order, with the text inside it."""

    elements: list[Element] = field(default_factory=list)
    open_elements: list[Element] = field(default_factory=list)
    chunks: list[str] = field(default_factory=list)
    text: str = ""

    RAW = frozenset({"style", "script"})
    """Elements whose text no reader sees."""
    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __post_init__(self) -> None:
        HTMLParser.__init__(self, convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs), first_chunk=len(self.chunks))
        self.elements.append(element)
        if tag not in self.VOID:
            self.open_elements.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open_elements or self.open_elements[-1].tag != tag:
            raise AssertionError(f"</{tag}> closes {self.open_elements[-1:]}")
        element = self.open_elements.pop()
        if tag not in self.RAW:
            element.text = "".join(self.chunks[element.first_chunk :])

    def handle_data(self, data: str) -> None:
        if any(element.tag in self.RAW for element in self.open_elements):
            self.open_elements[-1].text += data
            return
        self.chunks.append(data)

    def all(self, tag: str) -> list[Element]:
        return [element for element in self.elements if element.tag == tag]


def parse(html: str) -> Page:
    page = Page()
    page.feed(html)
    page.close()
    if page.open_elements:
        raise AssertionError(f"left open: {[element.tag for element in page.open_elements]}")
    page.text = " ".join("".join(page.chunks).split())
    return page
