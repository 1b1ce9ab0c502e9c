"""`ikelos chat`."""

import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ikelos.pipelines.cli.arguments import path
from ikelos.pipelines.cli.exported import find_version, open_exported, run_signature
from ikelos.pipelines.console import printable
from ikelos.pipelines.errors import UserError

if TYPE_CHECKING:
    from ikelos.serving.stock import StockModel

EXAMPLE = (
    "Example: [bold]ikelos chat runs/dialogue --seed 1[/bold]"
    "\n\nEach line is a turn; an end of file (Ctrl-D) or Ctrl-C ends the conversation. From a pipe, a reply is "
    "printed for each line: [bold]echo 'How was your day?' | ikelos chat runs/dialogue[/bold]. The model runs in "
    "TensorFlow's C library, as in TensorFlow Serving. Writes no files."
)

_HISTORY, _REPLY, _SEED = "history", "reply", "seed"
"""Inputs and output of the signature of a dialogue."""
_KEPT = 64
"""Most turns that are sent. It is even, so that the speakers keep their roles when older turns are dropped."""


def chat(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="A SavedModel of a dialogue, a folder of its versions, or the folder of a run.",
            show_default=False,
            parser=path,
        ),
    ],
    seed: Annotated[int, typer.Option(help="Seed of the first reply; each further reply has the next one.")] = 0,
    given: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=VALUE", help="Value of another input, such as temperature=0.5."),
    ] = None,
) -> None:
    """Talk with an exported dialogue model in the terminal."""
    version = find_version(model)
    # Here, because it imports numpy: the error about a wrong path comes without delay.
    from ikelos.pipelines.cli.inputs import gather

    loaded, examples = open_exported(version)
    with loaded:
        signature = _signature(version, loaded)
        inputs = loaded.signatures[signature]["inputs"]
        others = {name: spec for name, spec in inputs.items() if name not in (_HISTORY, _SEED)}
        known = examples.get(signature, {"inputs": {}})["inputs"]
        values, _ = gather(others, given or [], None, known)
        for name, array in values.items():
            if len(array) != 1:
                raise UserError(f"--input {name} must be given once. Received: {len(array)} values")
        turns: list[str] = []
        try:
            for line in _lines():
                turns.append(line)
                sent: dict[str, Any] = {**values, _HISTORY: [os.fsencode("\n".join(turns[-_KEPT + 1 :]))]}
                if _SEED in inputs:
                    sent[_SEED] = [seed]
                seed += 1
                (found,) = run_signature(loaded, signature, sent)[_REPLY]
                reply = " ".join(found.decode("utf-8", "replace").split())
                print(printable(reply), flush=True)
                if reply:
                    turns.append(reply)
                else:  # without both turns the speakers keep their roles
                    turns.pop()
                    print("The reply is empty: your turn was left out of the conversation.", file=sys.stderr)
        except KeyboardInterrupt:
            print()


def _signature(version: Path, model: "StockModel") -> str:
    """Returns the name of the signature of a dialogue: from a `history` to a `reply`, both one text for each row.

    Raises:
        UserError: If there is none.
    """
    text = ("string", (None,))
    for name, sides in sorted(model.signatures.items(), key=lambda item: item[0] != "serving_default"):
        if sides["inputs"].get(_HISTORY) == text and sides["outputs"].get(_REPLY) == text:
            return name
    found = "; ".join(
        f"{name} from {', '.join(sides['inputs'])} to {', '.join(sides['outputs'])}"
        for name, sides in sorted(model.signatures.items())
    )
    raise UserError(
        f"{version} must be a dialogue model, with a signature from the text `{_HISTORY}` to the text `{_REPLY}`. "
        f"Received: {found}"
    )


def _lines() -> Iterator[str]:
    """Yields the lines with text of standard input, after a prompt in a terminal."""
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # `os.fsencode` restores bytes that are not UTF-8
    while True:
        try:
            line = input("> " if is_terminal else "")
        except EOFError:
            if is_terminal:
                print()
            return
        if line.strip():
            yield " ".join(line.split())
