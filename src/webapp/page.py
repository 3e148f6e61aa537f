"""The page of the app."""

import base64
from pathlib import Path

import numpy as np

from src.explainers.registry import EXPLAINERS
from src.heatmap_drawing import colorize_heatmap
from src.pages.render import hash_script, render_page, to_inline_json
from src.webapp.service import Service
from src.webapp.uploads import MAX_BYTES

_TEMPLATE = Path(__file__).with_name("page.html")


def render_app(service: Service) -> tuple[str, str]:
    """The page, and the Content-Security-Policy that it is sent with: nothing from elsewhere, nothing to elsewhere."""
    content = {
        "models": list(service.names),
        "methods": {
            name: {"title": entry.title, "slow": entry.many_passes, "of_a_class": name != "eigencam"}
            for name, entry in EXPLAINERS.items()
        },
        "most_bytes": MAX_BYTES,
        "colors": {"unsigned": _colors(False), "signed": _colors(True)},
    }
    script = _TEMPLATE.with_suffix(".js").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; script-src '{hash_script(script)}'; style-src 'unsafe-inline'; connect-src 'self'; "
        "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return render_page(_TEMPLATE, content=to_inline_json(content)), policy


def _colors(signed: bool) -> str:
    """The 256 colours of the scale from its low to its high end, RGB in base64."""
    values = np.linspace(-1 if signed else 0, 1, 256, dtype=np.float32)[None]
    return base64.b64encode(colorize_heatmap(values, 1.0, signed=signed).tobytes()).decode()
