"""Prints the paths that a command wrote, and how to serve its model."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from ikelos.pipelines.console import columns, console, shown


def print_written(written: Mapping[str, Path | str]) -> None:
    """Prints the paths that a command wrote, the command that serves the model if there is one, and the `Result`."""
    out = console()
    out.print("\n[bold]Written[/bold]")
    out.print(columns({name: value for name, value in written.items() if name != "Result"}))
    if "SavedModel" in written:
        # On a separate line that is never broken, so that it can be copied.
        command = serving_command(Path(written["SavedModel"]).parent)
        out.print(f"\n[bold]Serve it[/bold]\n{shown(command)}", soft_wrap=True)
    if "Result" in written:
        out.print(f"\n[bold]Result[/bold]  {shown(written['Result'])}", soft_wrap=True)


def model_name(folder: Path) -> str:
    """Returns the name of a model in requests: that of a folder, without characters that a URL or Docker escapes."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", folder.name) or "model"


def serving_command(base: Path) -> str:
    """Returns the shell command that serves the newest version in a folder by TensorFlow Serving, REST on port 8501.

    Args:
        base: Folder of the versions, `<run>/export`; the model gets the name of the run's folder.
    """
    base = base.absolute()
    name = model_name(base.parent)
    # Not `-v`, which takes a colon in a path for the end of the path. The value of `--mount` is a line of CSV.
    source = f"source={base}"
    if re.search(r'[,"]', source):
        source = '"' + source.replace('"', '""') + '"'
    mount = f"type=bind,{source},target=/models/{name},readonly"
    command = ["docker", "run", "--rm", "-p", "8501:8501", "--mount", mount, "-e", f"MODEL_NAME={name}"]
    return shlex.join([*command, "tensorflow/serving"])
