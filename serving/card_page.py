"""The model card as one HTML file, which needs no other file and no network."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ikelos.serving.bounds import text_of
from ikelos.serving.graph import NATIVE
from ikelos.serving.protocol.rest import to_request
from ikelos.serving.values import shape_text
from ikelos.serving.weights import weights_text

_LONG = 120
"""Most characters of one value of an example."""
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --dim: #777; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); } h3 { margin-bottom: .3rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; display: block; overflow-x: auto; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--soft); }
th { font-weight: 600; white-space: nowrap; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
code { font: .9em ui-monospace, monospace; }
td.long { overflow-wrap: anywhere; min-width: 12rem; }
.dim { color: var(--dim); } .best { font-weight: 600; }
"""


def page(card: Mapping[str, Any], examples: Mapping[str, Any]) -> str:
    """Returns the page of a card.

    Args:
        card: The content of a card's file (`ikelos.serving.card.read_card`).
        examples: The examples of its signatures (`ikelos.serving.examples.read_examples`).
    """
    title = card["task"] or "Model card"
    parts = [
        f"<h1>{_text(title)}</h1>",
        f'<p class="dim">Flavour {_text(card["flavour"])}: {_flavour(card["flavour"])}</p>',
        *(f"<p>{_text(line)}</p>" for line in card["description"].split("\n") if line),
        *_section("Results", _metrics(card["metrics"])),
        *_section("Weights", _weights(card["weights"], card["signatures"])),
        *_section("Data", _pairs(card["data"])),
        *_section("Licence", f"<p>{_text(card['licence'])}</p>" if card["licence"] else ""),
        *_section("Signatures", "".join(_signature(name, *both) for name, both in _both(card, examples))),
        *_section("Origin", _pairs(card["provenance"] or {})),
        *_section("Versions", _pairs(card["versions"])),
        *_section("Files", _files(card["files"])),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n" + "\n".join(parts) + "\n</html>\n"
    )


def _flavour(name: str) -> str:
    if name == NATIVE:
        return "it needs a server that has the ops of Ikelos."
    return "a stock TensorFlow Serving runs it."


def _both(card, examples) -> Iterable[tuple[str, tuple[Mapping[str, Any], Mapping[str, Any]]]]:
    return ((name, (facts, examples[name]["inputs"])) for name, facts in card["signatures"].items())


def _section(heading: str, content: str) -> list[str]:
    return [f"<h2>{heading}</h2>", content] if content else []


def _metrics(metrics: Iterable[Mapping[str, Any]]) -> str:
    found = []
    for metric in metrics:
        rows = [
            ("This model", metric["value"], "best"),
            *((name, value, "") for name, value in metric["others"].items()),
        ]
        body = "".join(
            f'<tr class="{kind}"><td>{_text(name)}</td><td class="number">{_value(value)}</td></tr>'
            for name, value, kind in rows
        )
        unit = _text(metric["unit"] or metric["name"])
        found.append(f"<table><tr><th></th><th>{unit}, {metric['better']} is better</th></tr>{body}</table>")
    return "".join(found)


def _weights(weights: Mapping[str, Any], signatures: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{_text(name)}</code></td><td><code>{_text(output)}</code></td>"
        f"<td>{_change(value, signatures[name]['outputs'][output]['dtype'])}</td></tr>"
        for name, changes in weights["changes"].items()
        for output, value in changes.items()
    )
    heading = "<tr><th>Signature</th><th>Output</th><th>Change of the output on the example</th></tr>"
    return f"<p>{_text(weights_text(weights))}</p>" + (f"<table>{heading}{rows}</table>" if rows else "")


def _change(value: float, dtype: str) -> str:
    return f"up to {value:.3g}" if "float" in dtype else f"{value:.0%} of the rows"


def _pairs(facts: Mapping[str, Any]) -> str:
    rows = "".join(f"<tr><th>{_text(name)}</th><td>{_value(value)}</td></tr>" for name, value in facts.items())
    return f"<table>{rows}</table>" if rows else ""


def _signature(name: str, facts: Mapping[str, Any], example: Mapping[str, Any]) -> str:
    most = facts["max_rows"]
    rows = "".join(
        f"<tr><td><code>{_text(key)}</code></td><td>{_text(about['dtype'])}</td><td>{_shape(about['shape'])}</td>"
        f"<td>{_text(text_of(about['bounds'], about['dtype']))}</td>"
        f'<td class="long"><code>{_example(example[key])}</code></td></tr>'
        for key, about in facts["inputs"].items()
    )
    outputs = "".join(
        f"<tr><td><code>{_text(key)}</code></td><td>{_text(about['dtype'])}</td><td>{_shape(about['shape'])}</td></tr>"
        for key, about in facts["outputs"].items()
    )
    return (
        f"<h3><code>{_text(name)}</code></h3><p>{_prose(facts['doc'])}"
        + (f" A batch has at most {most:,} rows." if most else "")
        + "</p><table><tr><th>Input</th><th>dtype</th><th>Shape</th><th>Bounds</th><th>Example of a row</th></tr>"
        f"{rows}</table><table><tr><th>Output</th><th>dtype</th><th>Shape</th></tr>{outputs}</table>"
    )


def _files(files: Mapping[str, Mapping[str, Any]]) -> str:
    rows = "".join(
        f'<tr><td>{_text(name)}</td><td class="number">{about["bytes"]:,}</td>'
        f'<td class="long"><code>{_text(about["sha256"])}</code></td></tr>'
        for name, about in files.items()
    )
    return f"<table><tr><th>File</th><th>Bytes</th><th>SHA-256</th></tr>{rows}</table>"


def _shape(sizes: list[int | None] | None) -> str:
    return _text(shape_text(None if sizes is None else tuple(sizes)))


def _example(batch: list) -> str:
    text = json.dumps(to_request(batch[0]), ensure_ascii=False)
    return _text(text if len(text) <= _LONG else f"{text[:_LONG]} …")


def _value(value: Any) -> str:
    if isinstance(value, float):
        return _text(f"{value:.5g}")
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return _pairs(value)
    return _text(json.dumps(value, ensure_ascii=False))


def _prose(text: str) -> str:
    """Returns a text whose names between backticks are code."""
    return re.sub("`(.+?)`", r"<code>\1</code>", _text(text))


def _text(value: object) -> str:
    return html.escape(str(value))
