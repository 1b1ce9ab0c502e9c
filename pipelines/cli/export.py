"""`ikelos export`."""

from ikelos.pipelines.cli import folders
from ikelos.pipelines.cli.arguments import RunFolder
from ikelos.pipelines.cli.quiet import load_runner
from ikelos.pipelines.cli.written import print_written

EXAMPLE = (
    "Example: [bold]ikelos export runs/language_modeling[/bold]"
    "\n\nWrites a new WORKDIR/export/VERSION/, completely or not at all. Older versions stay."
    "\n\nAt the end it prints the command that serves the model with TensorFlow Serving, such as "
    "[bold]docker run --rm -p 8501:8501 --mount 'type=bind,source=/home/me/runs/language_modeling/export,"
    "target=/models/language_modeling,readonly' -e MODEL_NAME=language_modeling tensorflow/serving[/bold]; "
    "clients then send requests to http://localhost:8501/v1/models/language_modeling:predict."
)


def export(workdir: RunFolder) -> None:
    """Export the model of a run as a SavedModel that TensorFlow Serving loads."""
    folders.check_run(workdir)
    folders.prepare(workdir)
    with folders.named(workdir):
        written = load_runner().export(workdir)
    print_written(written)
