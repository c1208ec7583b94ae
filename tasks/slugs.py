"""Names that are safe in a path, a URL and a Zarr group, whatever people call their structures."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable

_LONGEST = 60
_DIGEST_CHARS = 8
_RESERVED = re.compile(r"con|prn|aux|nul|com\d|lpt\d")


def slug(text: str, *, fallback: str) -> str:
    """Lower-case ASCII letters, digits and hyphens, 1 … 60 of them; `fallback` where nothing is left.

    >>> slug("Brücke Nr. 7/../ Süd", fallback="structure"), slug("橋", fallback="structure"), slug("NUL", fallback="x")
    ('brucke-nr-7-sud', 'structure', 'nul-x')
    """
    plain = unicodedata.normalize("NFKD", text.casefold()).encode("ascii", "ignore").decode()
    joined = "-".join(re.findall(r"[a-z0-9]+", plain.lower()))[:_LONGEST].strip("-")
    # Windows takes these for devices.
    return f"{joined}-{fallback}" if _RESERVED.fullmatch(joined) else joined or fallback


def survey_folder(name: str) -> str:
    """The folder of a survey's results: a slug, and no two surveys of an inbox have the same.

    A name that is no slug itself gets 8 hex digits of its SHA-256 behind it.

    >>> survey_folder("bridge-7"), survey_folder("Bridge 7"), survey_folder("橋"), survey_folder("塔")
    ('bridge-7', 'bridge-7-c3c54d09', 'survey-c2995d69', 'survey-b3b1dcfd')
    """
    plain = slug(name, fallback="survey")
    if plain == name:
        return plain
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:_DIGEST_CHARS]
    return f"{plain[: _LONGEST - _DIGEST_CHARS - 1].strip('-')}-{digest}"


def unique_slugs(texts: Iterable[str], *, fallback: str) -> tuple[str, ...]:
    """A slug for each text, all different, in their order; the first keeps the plain one.

    >>> unique_slugs(["Pier 1", "pier-1", "pier-1-2"], fallback="structure")
    ('pier-1', 'pier-1-2', 'pier-1-2-2')
    """
    taken: set[str] = set()
    slugs = []
    next_number: dict[str, int] = {}
    for text in texts:
        base = candidate = slug(text, fallback=fallback)
        while candidate in taken:
            next_number[base] = next_number.get(base, 1) + 1
            candidate = f"{base}-{next_number[base]}"
        taken.add(candidate)
        slugs.append(candidate)
    return tuple(slugs)
