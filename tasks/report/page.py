"""What every page shares: the template environment, the style sheet and the content security policy."""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


@cache
def environment() -> Environment:
    """The templates, with autoescape on for every one of them and an error for every undefined name."""
    made = Environment(
        loader=PackageLoader("tasks.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # A figure that is not finite must fail here and not in the reader's browser.
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "ensure_ascii": False, "allow_nan": False}
    return made


@cache
def style_sheet() -> str:
    """The style sheet as it stands inside the page's style element."""
    text = files("tasks.report.templates").joinpath("report.css").read_text(encoding="utf-8")
    if "</" in text:
        raise ValueError("the style sheet must not hold '</', which would end the style element")
    return text


def content_security_policy(styles: str, scripts: Sequence[str] = ()) -> str:
    """No network, no frame, no form; the one style sheet and the scripts by their hashes, pictures inlined."""
    allowed = f"script-src {' '.join(_hash(script) for script in scripts)}; " if scripts else ""
    return f"default-src 'none'; {allowed}img-src data:; style-src {_hash(styles)}; base-uri 'none'; form-action 'none'"


def render(template: str, *, more_styles: str = "", scripts: Sequence[str] = (), **facts: object) -> str:
    """A template of this package as a self-contained page.

    `more_styles` follows the style sheet in its element; `scripts` are the only ones that the page may run, each the
    whole text of a script element. Raises ValueError for one that would end its element early.
    """
    for text in (more_styles, *scripts):
        # A browser reads CR LF as LF before it hashes; `<!--` changes where a script ends.
        if "\r" in text or "</script" in text.lower() or "</style" in text.lower() or "<!--" in text:
            raise ValueError("an inlined file must hold no CR, no '</script', no '</style' and no '<!--'")
    styles = style_sheet() + more_styles
    page = environment().get_template(template)
    return page.render(
        css=Markup(styles),
        scripts=[Markup(script) for script in scripts],
        csp=content_security_policy(styles, scripts),
        **facts,
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"
