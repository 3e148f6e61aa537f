"""Pages of one file each: a template with its style and its script inside, which ask for nothing else."""

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import jinja2

from src.files import finite

THEME = Path(__file__).with_name("theme.css")


def render_page(template: Path, filters: dict[str, Callable] | None = None, **context) -> str:
    """The page of ``template``, an .html with a .css and a .js beside it.

    The template gets ``style`` (the theme and the page's own), ``script`` and ``script_hash`` besides ``context``. All
    that it inserts is escaped, but what it marks as safe; a name that is not given raises ``jinja2.UndefinedError``.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters or {}
    script = template.with_suffix(".js").read_text(encoding="utf-8")
    style = "\n".join(path.read_text(encoding="utf-8") for path in (THEME, template.with_suffix(".css")))
    return environment.get_template(template.name).render(
        style=style, script=script, script_hash=hash_script(script), **context
    )


def hash_script(script: str) -> str:
    """By which a Content-Security-Policy lets this script run, and no other."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def to_inline_json(value) -> str:
    """JSON to stand within <script>: what could end it, or begin a comment, is written as an escape."""
    text = json.dumps(finite(value), separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
