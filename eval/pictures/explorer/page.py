"""The page: one HTML file with its data, styles and code in it. No request leaves it, and it works from a file."""

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

ROOM = Path(__file__).parent / "web"
CODE = (
    "codec", "model", "kernels", "style", "picture", "charts", "maps", "state", "views", "pointer", "keys", "lab", "readout",
)  # fmt: skip


def explorer_page(data: dict[str, Any], **texts: Any) -> str:
    """The page.

    Args:
        data: see `content`.
        texts: name (of the photograph), source (of the scores), crf (in words).
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    code = "\n".join(_text(f"{name}.js") for name in CODE)
    return environment.from_string(_text("page.html")).render(
        data=Markup(_harmless(data)),
        styles=Markup(_text("page.css")),
        code=Markup(code),
        worker=Markup(_text("worker.js")),
        **texts,
    )


def _text(name: str) -> str:
    return (ROOM / name).read_text(encoding="utf-8")


def _harmless(data: dict[str, Any]) -> str:
    """JSON in which nothing ends the element that it stands in."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
