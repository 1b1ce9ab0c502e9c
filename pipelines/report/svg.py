"""Conversion of matplotlib figures to inline SVG with colours that follow the reader's light or dark mode."""

import io
import re

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from ikelos.pipelines.report.palette import LIGHT

# Text is drawn as outlines, because the page's fonts have other widths. The fixed salt makes the output repeatable.
_SETTINGS = {"svg.fonttype": "path", "svg.hashsalt": "ikelos"}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_VARIABLES = {colour: f"var(--{name})" for name, colour in LIGHT.items()}


def inline(figure: Figure, name: str) -> Markup:
    """Returns the figure as one `<svg>` element; its ids get the prefix `name`, to be unique in the page."""
    buffer = io.StringIO()
    with matplotlib.rc_context(_SETTINGS):
        figure.savefig(buffer, format="svg", metadata=_NO_METADATA, transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r"#[0-9a-f]{6}\b", lambda match: _VARIABLES.get(match[0], match[0]), text)
    # The page sets the width; the viewBox keeps the proportions.
    text = re.sub(r'^<svg[^>]*?(viewBox="[^"]*")[^>]*>', r'<svg \1 aria-hidden="true">', text)
    return Markup(text.replace("xlink:href", "href"))
