"""`ikelos describe`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ikelos.pipelines.cli.arguments import path
from ikelos.pipelines.cli.exported import checked_card, find_version, open_exported
from ikelos.pipelines.console import columns, console, shown

EXAMPLE = (
    "Example: [bold]ikelos describe runs/language_modeling[/bold]"
    "\n\nShows the signatures of an export, what its inputs may hold, and its model card, after comparing all files "
    "with the card's checksums. Of a SavedModel that another program exported, it shows the signatures. Writes no "
    "files; the card is also a page, assets.extra/ikelos_card.html in the version's folder."
)


def describe(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="A SavedModel, a folder of its versions, or the folder of a run.",
            show_default=False,
            parser=path,
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Describe an exported model: signatures, bounds of inputs, card, sizes."""
    version = find_version(model)
    card = checked_card(version) or _of_another_program(version)
    card["path"] = str(version)
    card["bytes"] = sum(file.stat().st_size for file in version.rglob("*") if file.is_file())
    if as_json:
        print(json.dumps(card, ensure_ascii=False))
        return
    out = console()
    unnamed = "A model without a title" if "flavour" in card else "A SavedModel of another program"
    title = "  ".join(shown(text) for text in (card.get("task") or unnamed, card.get("description")) if text)
    out.print(f"[bold]{title}[/bold]  [dim]{shown(version)}[/dim]", soft_wrap=True)
    out.print(columns(_facts(card)))
    for name, signature in card["signatures"].items():
        _print_signature(name, signature)


def _of_another_program(version: Path) -> dict[str, Any]:
    loaded, _ = open_exported(version)
    with loaded:
        return {
            "signatures": {
                name: {
                    "inputs": {key: _spec(*spec) | {"bounds": {}} for key, spec in sides["inputs"].items()},
                    "outputs": {key: _spec(*spec) for key, spec in sides["outputs"].items()},
                }
                for name, sides in loaded.signatures.items()
            }
        }


def _spec(dtype: str, shape: tuple[int | None, ...] | None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": None if shape is None else list(shape)}


def _facts(card: dict[str, Any]) -> dict[str, str]:
    """Returns names and values to print."""
    from ikelos.serving.weights import weights_text

    found = {"Flavour": card["flavour"]} if "flavour" in card else {}
    found["Size"] = f"{card['bytes']:,} bytes"
    if "weights" in card:
        found["Weights"] = weights_text(card["weights"])
    found |= {
        metric["unit"] or metric["name"]: ", ".join(
            [f"{metric['value']:.5g}", *(f"{name} {value:.5g}" for name, value in metric["others"].items())]
        )
        for metric in card.get("metrics", [])
    }
    found |= {name: _text(value) for name, value in card.get("data", {}).items()}
    if card.get("licence"):
        found["Licence"] = card["licence"].replace("\n", " ")
    if "versions" in card:
        found["Made with"] = ", ".join(f"{name} {number}" for name, number in card["versions"].items())
    return {shown(name): shown(value) for name, value in found.items()}


def _text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _print_signature(name: str, signature: dict[str, Any]) -> None:
    from ikelos.serving.bounds import text_of
    from ikelos.serving.values import shape_text

    out = console()
    rows = signature.get("max_rows")
    doc = f"  {shown(signature['doc'])}" if "doc" in signature else ""
    out.print(f"\n[bold]{shown(name)}[/bold]{doc}" + (f" At most {rows} rows." if rows else ""), soft_wrap=True)

    def described(spec):
        shape = shape_text(None if spec["shape"] is None else tuple(spec["shape"]))
        return "  ".join(
            text for text in (spec["dtype"], shape, text_of(spec.get("bounds", {}), spec["dtype"])) if text
        )

    out.print(columns({shown(key): described(spec) for key, spec in signature["inputs"].items()}))
    out.print(columns({f"→ {shown(key)}": described(spec) for key, spec in signature["outputs"].items()}))
