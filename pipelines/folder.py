"""The layout of a run's folder."""

import dataclasses
from pathlib import Path

from ikelos.pipelines.errors import UserError

START = "from.json"
"""Name of the file that names the run whose weights a run began with, and its checkpoints."""


@dataclasses.dataclass(frozen=True)
class Folder:
    """Paths of the files and folders of a run.

    Attributes:
        path: The run's folder.
    """

    path: Path

    def check(self, argument: str | None = None) -> None:
        """Checks that the folder holds a run.

        Args:
            argument: Name of the argument or of the recipe key that names the folder; None for a command's `WORKDIR`.

        Raises:
            UserError: If the folder or its recipe is missing.
        """
        name, received = ("WORKDIR", "") if argument is None else (f"`{argument}`", f"{argument}=")
        if not self.path.is_dir():
            raise UserError(
                f"{name} must be the folder of a run. Received: {received}{self.path}, which is not a folder"
            )
        if not self.recipe.is_file():
            raise UserError(
                f"{name} must be the folder of a run, as `ikelos run` makes it. "
                f"Received: {received}{self.path}, without a {self.recipe.name}"
            )

    @property
    def recipe(self) -> Path:
        """The recipe, overrides applied."""
        return self.path / "recipe.yaml"

    @property
    def preprocessing(self) -> Path:
        """The folder of the fitted preprocessing; complete if it exists."""
        return self.path / "preprocessing"

    @property
    def start(self) -> Path:
        """The file that names the run that this one began with, and its checkpoints; absent if there is none."""
        return self.preprocessing / START

    @property
    def stages(self) -> Path:
        """The folder with one folder for each stage."""
        return self.path / "stages"

    def stage(self, name: str) -> Path:
        """Returns the folder in which a stage is trained."""
        return self.stages / name

    def checkpoints(self, stage: str) -> Path:
        """Returns the folder of a stage's checkpoints."""
        return self.stage(stage) / "checkpoints"

    def history(self, stage: str) -> Path:
        """Returns the file with the records of a stage's training."""
        return self.stage(stage) / "history.jsonl"

    @property
    def begun(self) -> bool:
        """Whether a stage has a checkpoint; training writes one before its first step."""
        return any(self.stages.glob("*/checkpoints/step-*.npz"))

    @property
    def models(self) -> Path:
        """The folder of the trained models as `.keras` files; complete if it exists."""
        return self.path / "models"

    def model(self, stage: str) -> Path:
        """Returns the file of a stage's trained model."""
        return self.models / f"{stage}.keras"

    @property
    def evaluation(self) -> Path:
        """The file with the figures of the run."""
        return self.path / "evaluation.json"

    @property
    def evaluations(self) -> Path:
        """The folder for the figures of later evaluations."""
        return self.path / "evaluations"

    @property
    def report(self) -> Path:
        """The folder of the report."""
        return self.path / "report"

    @property
    def export(self) -> Path:
        """The folder with the versions of the served model."""
        return self.path / "export"
