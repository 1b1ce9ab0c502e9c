"""`ikelos predict`."""

import enum
import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from ikelos.pipelines.cli.arguments import path
from ikelos.pipelines.cli.failures import reason
from ikelos.pipelines.console import columns, console, shown
from ikelos.pipelines.errors import UserError

EXAMPLE = (
    "Example: [bold]ikelos predict runs/language_modeling --signature generate --input prompt=ROMEO:[/bold]"
    "\n\nInputs that are not given are those of the example in the model. The model runs in TensorFlow's "
    "C library, as in TensorFlow Serving. An input whose name ends in _bytes takes the path of a file. "
    "Writes nothing but its output, and with --save the outputs whose names end in _bytes, as files."
)


# How files begin, and end.
_SUFFIXES = {b"\x89PNG\r\n": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".wav"}


# Numbers of one value from which nobody reads them: an image.
_MANY = 100


class Format(enum.StrEnum):
    """How outputs are printed."""

    TEXT = "text"
    JSON = "json"


def predict(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="A SavedModel, a folder of its versions, or the folder of a run.",
            show_default=False,
            parser=path,
        ),
    ],
    signature: Annotated[str, typer.Option(metavar="NAME", help="Which function of the model.")] = "serving_default",
    given: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=VALUE", help="One input; several of one name make a batch."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help='Inputs as {"name": \\[value, ...]}.', parser=path)
    ] = None,
    output: Annotated[Format, typer.Option(help="For people or for machines.")] = Format.TEXT,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where to write outputs of bytes, such as pictures.", parser=path),
    ] = None,
) -> None:
    """Run an exported model on inputs, without a server."""
    version = find_version(model)
    # numpy and TensorFlow's library, which a wrong path need not wait for.
    from ikelos.pipelines.cli.inputs import gather
    from ikelos.serving import rest
    from ikelos.serving.examples import read_examples
    from ikelos.serving.stock import StockError, StockModel

    try:
        examples = read_examples(version)
    except FileNotFoundError:  # not an export of ours: every input must be given
        examples = {}
    try:
        loaded = StockModel(version)
    except StockError as error:
        problem = _complaint(str(error))
        raise UserError(
            f"{version} must be a SavedModel of TensorFlow's and TF Text's ops. Received: {problem}"
        ) from error
    with loaded:
        if signature not in loaded.signatures:
            names = ", ".join(sorted(loaded.signatures))
            raise UserError(f"--signature must be one of {names}. Received: {signature}")
        inputs, outputs = (loaded.signatures[signature][side] for side in ("inputs", "outputs"))
        if save is not None and not any(rest.holds_bytes(name) for name in outputs):
            raise UserError(
                f"--save must come with a signature that has an output of bytes, NAME_bytes. "
                f"Received: --signature {signature}, whose outputs are {', '.join(outputs)}"
            )
        example = examples.get(signature, {"inputs": {}, "doc": ""})
        values = gather(inputs, given or [], file, example["inputs"])
        try:
            found = loaded.run(signature, dict(values))
        except StockError as error:  # it has loaded, so it is these inputs that it can't work on
            raise UserError(f"signature {signature}: {_complaint(str(error))}") from error
    saved = {} if save is None else _save(save, found)
    if output is Format.JSON:
        print(json.dumps({name: rest.to_response(name, array.tolist()) for name, array in found.items()}))
        return
    out = console()
    title = "  ".join(text for text in (shown(signature), shown(example["doc"])) if text)
    out.print(f"[bold]{title}[/bold]  [dim]{shown(version)}[/dim]", soft_wrap=True)
    rows = len(next(iter(found.values())))
    for row in range(rows):
        if rows > 1:
            out.print(f"\n[bold]row {row + 1}[/bold]")
        out.print(columns({name: _readable(name, array[row], saved.get((name, row))) for name, array in found.items()}))


def find_version(path: Path) -> Path:
    """The folder of the SavedModel that `path` means: itself, its newest version, or the newest of a run.

    Raises:
        UserError: There is none.
    """
    if not path.is_dir():
        raise UserError(
            f"PATH must be a SavedModel's folder, or one that holds it. Received: {path}, which is not a folder"
        )
    if (path / "saved_model.pb").is_file():
        return path
    # Not at the top, for the sake of `ikelos --help`: it brings numpy.
    from ikelos.serving import newest

    for base in (path, path / "export"):
        version = newest(base)
        if version is not None and (version / "saved_model.pb").is_file():
            return version
    raise UserError(
        "PATH must hold saved_model.pb, VERSION/saved_model.pb or export/VERSION/saved_model.pb, where VERSION is the "
        f"highest number there. Received: {path}"
    )


def _complaint(message: str) -> str:
    """What TensorFlow says of failing inputs, without where in the graph, and an assertion as it was written.

    `assertion failed: [length must be at most 32] [40]` and a line that begins with `[[{{node ...`.
    """
    line = message.partition("[[{{")[0].strip()
    found = re.fullmatch(r"assertion failed: \[(.*)\]", line, re.DOTALL)
    return " ".join((found[1].replace("] [", " ") if found else line).split())


def _save(folder: Path, outputs: dict[str, Any]) -> dict[tuple[str, int], Path]:
    """Writes each row of the outputs of bytes as a file, `NAME-ROW.png`; returns where, by name and row."""
    from ikelos.serving import rest

    saved = {}
    for name, array in outputs.items():
        for row, value in enumerate(array):
            if rest.holds_bytes(name) and isinstance(value, bytes):
                suffix = next((suffix for magic, suffix in _SUFFIXES.items() if value.startswith(magic)), ".bin")
                saved[name, row] = folder / f"{name.removesuffix('_bytes')}-{row + 1}{suffix}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for (name, row), path in saved.items():
            path.write_bytes(outputs[name][row])
    except OSError as error:
        raise UserError(f"--save {folder}: cannot write {error.filename}: {reason(error)}") from None
    return saved


def _readable(name: str, value: Any, saved: Path | None) -> str:
    """One row of an output for people: text as it is, numbers short, bytes by their file or their number."""
    import numpy as np

    from ikelos.serving import rest

    if saved is not None:
        return str(saved)
    if isinstance(value, bytes) and rest.holds_bytes(name):
        return f"{len(value):,} bytes (--save FOLDER writes them)"
    if isinstance(value, bytes):
        return rest.to_response(name, value)
    if isinstance(value, np.floating):
        return f"{value:.6g}"
    if value.dtype == object:
        return json.dumps(rest.to_response("", value.tolist()), ensure_ascii=False)
    if value.ndim > 1 and value.size > _MANY:
        return f"{value.dtype.name} {list(value.shape)}, {value.min():.4g} to {value.max():.4g}"
    # Lines are broken by the table.
    return np.array2string(value, precision=4, threshold=20, edgeitems=4, max_line_width=10**6)
