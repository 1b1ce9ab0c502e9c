"""A matplotlib figure as SVG inside an HTML page, in colours that follow the reader's light or dark mode."""

import io
import re

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from ikelos.pipelines.report.palette import LIGHT

# Text as outlines: a page's own fonts have other widths. A fixed salt: the same figure gives the same file.
_SETTINGS = {"svg.fonttype": "path", "svg.hashsalt": "ikelos"}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_VARIABLES = {colour: f"var(--{name})" for name, colour in LIGHT.items()}


def inline(figure: Figure, name: str) -> Markup:
    """The figure as one `<svg>` element. `name` is put before its ids, which are to be unique in the page."""
    buffer = io.StringIO()
    with matplotlib.rc_context(_SETTINGS):
        figure.savefig(buffer, format="svg", metadata=_NO_METADATA, transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r"#[0-9a-f]{6}\b", lambda match: _VARIABLES.get(match[0], match[0]), text)
    # The page gives the width; the viewBox keeps the proportions.
    text = re.sub(r'^<svg[^>]*?(viewBox="[^"]*")[^>]*>', r'<svg \1 aria-hidden="true">', text)
    return Markup(text.replace("xlink:href", "href"))
