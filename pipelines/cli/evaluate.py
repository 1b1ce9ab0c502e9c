"""`ikelos evaluate`."""

from ikelos.pipelines.cli import folders
from ikelos.pipelines.cli.arguments import Overrides, RunFolder
from ikelos.pipelines.cli.quiet import load_runner
from ikelos.pipelines.cli.written import print_written

EXAMPLE = (
    "Example: [bold]ikelos evaluate runs/image_generation_vae --set data.source.tfds=font_letters[/bold]"
    "\n\nWrites the figures to WORKDIR/evaluations/, one file for each combination of data and settings, and changes "
    "nothing else of the run. --set takes keys of data.source and evaluation. The baselines are fitted on the training "
    "split of the same data."
)


def evaluate(workdir: RunFolder, overrides: Overrides = None) -> None:
    """Evaluate the model of a finished run and the baselines, on the data of the run or on other data."""
    folders.check_run(workdir, overrides or [])
    folders.prepare(workdir)
    with folders.named(workdir):
        written = load_runner().evaluate(workdir, overrides or [])
    print_written(written)
