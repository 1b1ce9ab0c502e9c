"""`ikelos predict`."""

import enum
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ikelos.pipelines.cli.arguments import Library, path
from ikelos.pipelines.cli.failures import reason
from ikelos.pipelines.cli.source import open_source
from ikelos.pipelines.console import columns, console, say, shown
from ikelos.pipelines.errors import UserError

EXAMPLE = (
    "Example: [bold]ikelos predict runs/language_modeling --signature generate --input prompt=ROMEO:[/bold]"
    "\n\nInputs that are not given are taken from the model's example and printed. The model runs in TensorFlow's C "
    "library, as in TensorFlow Serving, or with --server on a server, whose models have no examples. An input whose "
    "name ends in _bytes takes the path of a file. "
    "Writes no files, except with --save a file for each output whose name ends in _bytes."
)

_MANY = 100
"""Most numbers of one value that are printed. An image, for example, has more."""
_LONG = 60
"""Most characters of a text that is printed in a table."""


class Format(enum.StrEnum):
    """Format of the printed outputs."""

    TEXT = "text"
    JSON = "json"


def predict(
    exported: Annotated[
        Path | None,
        typer.Argument(
            metavar="PATH",
            help="A SavedModel, a folder of its versions, or the folder of a run.",
            show_default=False,
            parser=path,
        ),
    ] = None,
    signature: Annotated[str, typer.Option(metavar="NAME", help="Signature of the model to run.")] = "serving_default",
    given: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=VALUE", help="Value of an input; several of one name make a batch."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help='Inputs as {"name": \\[value, ...]}.', parser=path)
    ] = None,
    output: Annotated[Format, typer.Option(help="Format of the printed outputs.")] = Format.TEXT,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where to write outputs of bytes, such as images.", parser=path),
    ] = None,
    server: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="A running TensorFlow Serving, in place of PATH.")
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the model on the server.")] = None,
    rest: Annotated[bool, typer.Option("--rest", help="Call the server by REST, not by gRPC.")] = False,
    version: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Version of the model on the server.", show_default="newest")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(min=0.001, metavar="S", help="Seconds to wait for the server.", show_default="60")
    ] = None,
    tls_roots: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Certificates that sign the server's, PEM; turns on TLS.", parser=path),
    ] = None,
    library: Library = None,
) -> None:
    """Run an exported model on inputs, in this process or on a server."""
    remote = {"model": model, "version": version, "timeout": timeout, "tls_roots": tls_roots, "rest": rest or None}
    opening = open_source(
        exported, library, server, {name: value for name, value in remote.items() if value is not None}
    )
    # Here, because they import numpy and TensorFlow's library: the error about a wrong path comes without delay.
    from ikelos.pipelines.cli.inputs import gather
    from ikelos.serving.protocol.rest import holds_bytes, to_response

    with opening as source:
        if signature not in source.signatures:
            names = ", ".join(sorted(source.signatures))
            raise UserError(f"--signature must be one of {names}. Received: {signature}")
        inputs, outputs = (source.signatures[signature][side] for side in ("inputs", "outputs"))
        if save is not None and not any(holds_bytes(name) for name in outputs):
            raise UserError(
                f"--save must come with a signature that has an output of bytes, NAME_bytes. "
                f"Received: --signature {signature}, whose outputs are {', '.join(outputs)}"
            )
        example = source.examples.get(signature, {"inputs": {}, "doc": ""})
        values, taken = gather(inputs, given or [], file, example["inputs"])
        found = source.run(signature, dict(values))
    saved = {} if save is None else _save(save, found)
    if output is Format.JSON:
        if taken:
            print(f"Inputs taken from the model's example: {', '.join(taken)}", file=sys.stderr)
        print(json.dumps({name: to_response(name, array.tolist()) for name, array in found.items()}))
        return
    out = console()
    title = "  ".join(text for text in (shown(signature), shown(example["doc"])) if text)
    out.print(f"[bold]{title}[/bold]  [dim]{shown(source.title)}[/dim]", soft_wrap=True)
    if taken:
        out.print("[bold]Inputs taken from the model's example[/bold]")
        first = {name: values[name][0] for name in taken}
        _print_row(first, {name: _readable(name, value, None) for name, value in first.items()})
    rows = len(next(iter(found.values())))
    for row in range(rows):
        if rows > 1:
            out.print(f"\n[bold]row {row + 1}[/bold]")
        elif taken:
            out.print("[bold]Outputs[/bold]")
        here = {name: array[row] for name, array in found.items()}
        advice = " (--save FOLDER writes them)"
        _print_row(here, {name: _readable(name, value, saved.get((name, row)), advice) for name, value in here.items()})


def _print_row(values: Mapping[str, Any], readable: Mapping[str, str]) -> None:
    """Prints one row of the inputs or outputs: a table, and below it the long texts, each as it is.

    Args:
        values: The values by name.
        readable: The result of `_readable` for each value.
    """
    out = console()
    long = [name for name, text in readable.items() if _is_text(name, values[name]) and not _fits_a_cell(text)]
    if len(long) < len(readable):
        out.print(columns({name: text for name, text in readable.items() if name not in long}))
    for name in long:
        out.print(f"  [cyan]{shown(name)}[/cyan]")
        say(readable[name])


def _fits_a_cell(text: str) -> bool:
    return len(text) <= _LONG and "\n" not in text


def _is_text(name: str, value: Any) -> bool:
    from ikelos.serving.protocol import rest

    return isinstance(value, bytes) and not rest.holds_bytes(name)


def _save(folder: Path, outputs: dict[str, Any]) -> dict[tuple[str, int], Path]:
    """Writes each row of the outputs of bytes to a file; returns the paths by name and row."""
    from ikelos.serving import media

    try:
        return media.save(folder, outputs)
    except OSError as error:
        raise UserError(f"--save {folder}: cannot write {error.filename}: {reason(error)}") from None


def _readable(name: str, value: Any, saved: Path | None, advice: str = "") -> str:
    """Returns one value of an input or output as text.

    Numbers are rounded. Bytes are represented by the path of the file to which they were saved, or else by their number
    and `advice`.
    """
    import numpy as np

    from ikelos.serving.protocol import rest

    if saved is not None:
        return str(saved)
    if isinstance(value, bytes) and not _is_text(name, value):
        return f"{len(value):,} bytes{advice}"
    if isinstance(value, bytes):
        return rest.to_response(name, value)
    if isinstance(value, np.floating):
        return f"{value:.6g}"
    if value.dtype == object:
        return json.dumps(rest.to_response("", value.tolist()), ensure_ascii=False)
    if value.ndim > 1 and value.size > _MANY:
        return f"{value.dtype.name} {list(value.shape)}, {value.min():.4g} to {value.max():.4g}"
    # Without line breaks, as the table wraps long lines.
    return np.array2string(value, precision=4, threshold=20, edgeitems=4, max_line_width=10**6)
