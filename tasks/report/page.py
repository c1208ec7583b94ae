"""What every page shares: the template environment, the style sheet and the content security policy."""

import base64
import hashlib
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


@cache
def environment() -> Environment:
    """The templates, with autoescape on for every one of them and an error for every undefined name."""
    return Environment(
        loader=PackageLoader("tasks.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


@cache
def style_sheet() -> str:
    """The style sheet as it stands inside the page's style element."""
    text = files("tasks.report.templates").joinpath("report.css").read_text(encoding="utf-8")
    if "</" in text:
        raise ValueError("the style sheet must not hold '</', which would end the style element")
    return text


def content_security_policy() -> str:
    """No script, no network, no frame, no form; the one style sheet by its hash, pictures inlined."""
    digest = base64.b64encode(hashlib.sha256(style_sheet().encode("utf-8")).digest()).decode("ascii")
    return f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def render(template: str, **facts: object) -> str:
    """A template of this package as a self-contained page."""
    page = environment().get_template(template)
    return page.render(css=Markup(style_sheet()), csp=content_security_policy(), **facts)
