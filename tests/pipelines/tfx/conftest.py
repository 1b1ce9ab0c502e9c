import pytest

from ikelos.pipelines.tfx import steps

SECTION = "pipeline={schedule: null, retries: 1, timeout_minutes: 60, beam: [], memory_gib: 4.0, cpus: 1.0, "


@pytest.fixture
def through(tmp_path):
    """Takes a recipe from its source to a trained run; gives the folders of all steps by name."""

    def go(recipe, place="pipeline"):
        folders = {name: tmp_path / place / name for name in ("examples", "prepared", "evaluation")}
        for folder in folders.values():
            folder.mkdir(parents=True)
        steps.read(recipe, folders["examples"])
        steps.prepare(recipe, folders["examples"], folders["prepared"])
        folders["run"] = steps.train(recipe, folders["prepared"]).path
        return folders

    return go
