"""Where everything lies in a run's folder."""

import dataclasses
from pathlib import Path

from ikelos.pipelines.errors import UserError


@dataclasses.dataclass(frozen=True)
class Folder:
    """The folder of a run.

    Attributes:
        path: Its own.
    """

    path: Path

    def check(self) -> None:
        """Checks that a run was made in it.

        Raises:
            UserError: The folder or its recipe is missing.
        """
        if not self.path.is_dir():
            raise UserError(f"WORKDIR must be the folder of a run. Received: {self.path}, which is no folder")
        if not self.recipe.is_file():
            raise UserError(
                "WORKDIR must be the folder of a run, as `ikelos run` makes it. "
                f"Received: {self.path}, without a {self.recipe.name}"
            )

    @property
    def recipe(self) -> Path:
        """What was run, overrides applied."""
        return self.path / "recipe.yaml"

    @property
    def preprocessing(self) -> Path:
        """What was learned before the model; a folder of this name is whole."""
        return self.path / "preprocessing"

    @property
    def start(self) -> Path:
        """Which weights of another run it began with; there is none without `from`."""
        return self.preprocessing / "from.json"

    @property
    def stages(self) -> Path:
        """Where the stages are trained."""
        return self.path / "stages"

    def stage(self, name: str) -> Path:
        """Where one of them is trained."""
        return self.stages / name

    def checkpoints(self, stage: str) -> Path:
        """The checkpoints of a stage."""
        return self.stage(stage) / "checkpoints"

    def history(self, stage: str) -> Path:
        """The records of a stage's training."""
        return self.stage(stage) / "history.jsonl"

    @property
    def models(self) -> Path:
        """The trained models as Keras saves them; a folder of this name is whole."""
        return self.path / "models"

    def model(self, stage: str) -> Path:
        """The trained model of a stage."""
        return self.models / f"{stage}.keras"

    @property
    def evaluation(self) -> Path:
        """The figures of the run."""
        return self.path / "evaluation.json"

    @property
    def evaluations(self) -> Path:
        """Figures that were asked for afterwards."""
        return self.path / "evaluations"

    @property
    def report(self) -> Path:
        """The report of the run."""
        return self.path / "report"

    @property
    def export(self) -> Path:
        """The versions of the served model."""
        return self.path / "export"
