"""`ikelos evaluate`."""

from ikelos.pipelines.cli import folders
from ikelos.pipelines.cli.arguments import RunFolder
from ikelos.pipelines.cli.quiet import load_runner
from ikelos.pipelines.cli.written import print_written

EXAMPLE = (
    "Example: [bold]ikelos evaluate runs/language_modeling[/bold]"
    "\n\nWrites WORKDIR/evaluation.json and WORKDIR/report/."
)


def evaluate(workdir: RunFolder) -> None:
    """Evaluate the model of a run again, beside its baselines."""
    folders.check_run(workdir)
    folders.prepare(workdir)
    with folders.named(workdir):
        written = load_runner().evaluate(workdir)
    print_written(written)
