"""Writes a report: `report.json` with every number, and `report.html`, a self-contained page."""

import base64
import importlib.resources
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from ikelos.pipelines.report import palette, svg, tiles
from ikelos.pipelines.report.sections import Section

# Nats at which a piece of text gets the next shade: probabilities of 1/e, 1/e^2, 1/e^4, 1/e^6. From the third shade on
# it is also underlined.
THRESHOLDS = (1.0, 2.0, 4.0, 6.0)
UNDERLINED = 3
# Maximum number of entries of one mapping or list that the page lists among all numbers.
SHOWN = 50


def write(
    folder: pathlib.Path, title: str, facts: Mapping[str, Any], sections: Sequence[Section]
) -> dict[str, pathlib.Path]:
    """Writes `report.json` and `report.html` and returns their paths by their display names.

    Args:
        folder: Folder of the two files, created if missing; the files of an earlier report are replaced.
        title: Title of the report.
        facts: All numbers of the run under stable keys: values of JSON or NumPy, dicts and lists of such values. Dicts
            and lists with more than `SHOWN` entries are only in `report.json`.
        sections: Sections of the page, in order.

    Returns:
        The paths of the page and of the numbers.

    Raises:
        ValueError: If a number is not finite, which JSON cannot represent.
        TypeError: If a value cannot be represented in JSON.
    """
    data = {"title": title, "facts": facts, "sections": [section.data() for section in sections]}
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
    html = _template().render(
        title=title,
        sections=sections,
        facts=list(_flat(json.loads(text)["facts"])),
        light=palette.css(0),
        dark=palette.css(1),
        levels=_levels(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    paths = {"Report": folder / "report.html", "Report's numbers": folder / "report.json"}
    for path, content in zip(paths.values(), (html, text), strict=True):
        # Reports contain names of files, which need not be UTF-8. In JSON, the escape means the original character.
        path.write_text(content + "\n", encoding="utf-8", errors="backslashreplace")
    return paths


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        svg=svg.inline, shaded=_shaded, tiled=tiles.tiled, png=tiles.png_uri, film=tiles.film_uri, wav=_wav_uri
    )
    source = importlib.resources.files(__package__).joinpath("report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source)


def _wav_uri(content: bytes) -> Markup:
    return Markup("data:audio/wav;base64," + base64.b64encode(content).decode())


def _shaded(pieces: Sequence[str], nats: Sequence[float]) -> Iterator[tuple[int, str, float]]:
    """Yields (level, text, nats); adjacent pieces of level 0, which are not marked, are joined."""
    plain = ""
    for piece, cost in zip(pieces, nats, strict=True):
        level = int(np.searchsorted(THRESHOLDS, cost, side="right"))
        if level == 0:
            plain += piece
            continue
        if plain:
            yield 0, plain, 0.0
        plain = ""
        # A marked line break gets a visible sign, as there is nothing else to shade.
        yield level, piece.replace("\n", "↵\n"), cost
    if plain:
        yield 0, plain, 0.0


def _levels() -> list[dict[str, Any]]:
    ends = [f"to {end:g}" for end in THRESHOLDS[1:]] + ["or more"]
    return [
        {"level": level, "text": f"{start:g} {end} nats", "underlined": level >= UNDERLINED}
        for level, (start, end) in enumerate(zip(THRESHOLDS, ends, strict=True), 1)
    ]


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yields the leaves of nested facts, each with its dotted key; for long dicts and lists, only their length."""
    if isinstance(value, dict | list) and len(value) > SHOWN:
        yield path, f"{len(value):,} entries"
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        for index, inner in enumerate(value):
            yield from _flat(inner, f"{path}.{index}")
    else:
        yield path, value if isinstance(value, str) else json.dumps(value)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, pathlib.PurePath):
        return str(value)
    raise TypeError(f"A report's facts must be plain values. Received: {type(value).__name__}: {value!r}")
