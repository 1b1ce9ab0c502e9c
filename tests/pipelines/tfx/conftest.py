import numpy as np
import pytest

from ikelos.pipelines.tfx import steps
from ikelos.pipelines.training import checkpoint


@pytest.fixture
def weights():
    """Gives every variable of a run's newest checkpoints, as bytes by name."""

    def of(run):
        found = {}
        for stage in sorted(path.name for path in run.stages.iterdir()):
            with np.load(checkpoint.newest(run.checkpoints(stage))) as file:
                found |= {f"{stage}/{name}": file[name].tobytes() for name in file.files if name != "about"}
        return found

    return of


@pytest.fixture
def through(tmp_path):
    """Takes a recipe from its source to a trained run; gives the folders of all steps by name.

    With `start`, a `steps.Served`, the training begins with that run.
    """

    def go(recipe, place="pipeline", start=None):
        folders = {name: tmp_path / place / name for name in ("examples", "prepared", "evaluation")}
        for folder in folders.values():
            folder.mkdir(parents=True)
        steps.read(recipe, folders["examples"])
        steps.prepare(recipe, folders["examples"], folders["prepared"], start)
        folders |= {name: tmp_path / place / name for name in ("run", "model")}
        steps.train(recipe, folders["prepared"], folders["run"], folders["model"], start and start.folder)
        return folders

    return go
