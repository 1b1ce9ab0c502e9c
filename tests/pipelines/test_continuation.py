import pytest

from ikelos.pipelines import continuation
from ikelos.pipelines import recipe as recipes
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.folder import Folder


@pytest.fixture
def folder(points, tmp_path):
    """Returns a folder with the recipe of a run that has begun to train."""
    folder = Folder(tmp_path / "run")
    folder.checkpoints("judge").mkdir(parents=True)
    folder.recipe.write_text(recipes.dump(points()))
    (folder.checkpoints("judge") / "step-00000000.npz").touch()
    return folder


def test_more_steps_and_what_follows_the_training_may_change(points, folder):
    changes = ["maker.steps=6", "maker.checkpoint_every=2", "evaluation.peers=[]", "export.enabled=false"]
    continuation.check_same_run(points(*changes), folder)
    with pytest.raises(UserError, match=r"^`maker\.steps` must be at least 4, .*\. Received: maker\.steps=3\n"):
        continuation.check_same_run(points("maker.steps=3"), folder)


def test_a_folder_without_a_run_takes_any_recipe(points, tmp_path):
    continuation.check_same_run(points("maker.seed=7"), Folder(tmp_path / "none"))


def test_a_run_that_has_not_begun_to_train_takes_any_recipe(points, folder):
    with pytest.raises(UserError, match=r"^`maker\.seed` must be 0"):
        continuation.check_same_run(points("maker.seed=7"), folder)
    (folder.checkpoints("judge") / "step-00000000.npz").unlink()
    continuation.check_same_run(points("maker.seed=7"), folder)


def test_an_evaluation_changes_data_and_evaluation_alone(folder):
    recipe, changes = continuation.load_to_evaluate(folder, ["evaluation.peers=[]"])
    assert recipe.config.evaluation.peers == ()
    assert all(key.startswith("evaluation.peers") for key in changes)
    with pytest.raises(UserError, match=r"^`maker\.seed` must be 0, as in the run in .*\. Received: maker\.seed=1$"):
        continuation.load_to_evaluate(folder, ["maker.seed=1"])
