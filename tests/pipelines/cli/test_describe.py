import json
import os
import shutil

import pytest
import tensorflow as tf


@pytest.fixture
def run(finished, tmp_path):
    """Returns a copy of a run's export, as the folder of a run."""
    shutil.copytree(finished / "export", tmp_path / "run" / "export")
    return tmp_path / "run"


def test_it_shows_signatures_bounds_and_the_card(ikelos_command, run):
    found = ikelos_command("describe", run)
    assert (found.status, found.err) == (0, "")
    words = " ".join(found.out.split())
    for text in ("Points", "Flavour portable", "Weights Stored as float32, ", "share as asked for", "a coin 0.5"):
        assert text in words
    assert "serving_default Heap. At most 16 rows. point float32 (any, 2) → scores float32 (any, 2)" in words


def test_json_is_the_card(ikelos_command, run):
    found = ikelos_command("describe", run / "export" / "1", "--json")
    card = json.loads(found.out)
    assert card["path"] == str(run / "export" / "1")
    assert card["signatures"]["serving_default"]["inputs"]["point"]["shape"] == [None, 2]
    assert card["provenance"]["checkpoints"].keys() == {"judge", "maker"}
    assert [metric["name"] for metric in card["metrics"]] == ["accuracy"]
    assert card["data"]["Examples of test"] == 64
    assert card["bytes"] >= sum(file["bytes"] for file in card["files"].values())


def test_a_model_of_another_program_has_its_signatures(ikelos_command, tmp_path):
    spec = tf.TensorSpec([None, 2], tf.float32, name="x")
    doubled = tf.function(lambda x: {"y": 2 * x}, input_signature=[spec])
    tf.saved_model.save(tf.Module(), str(tmp_path / "1"), signatures=doubled)
    found = ikelos_command("describe", tmp_path)
    assert found.status == 0
    assert "A SavedModel of another program" in found.out
    assert "serving_default x float32 (any, 2) → y float32 (any, 2)" in " ".join(found.out.split())
    assert json.loads(ikelos_command("describe", tmp_path, "--json").out)["signatures"]["serving_default"]["outputs"]


@pytest.mark.parametrize("command", ["describe", "predict"])
def test_damage_is_told_by_path(ikelos_command, run, command):
    path = run / "export" / "1" / "saved_model.pb"
    os.truncate(path, 100)
    found = ikelos_command(command, run)
    assert (found.status, found.out) == (2, "")
    assert found.err.startswith(f"Error: {path} must have ")
    assert "Copy the version again, or export the model again. Received: 100 bytes" in found.err


def test_an_empty_folder(ikelos_command, tmp_path):
    found = ikelos_command("describe", tmp_path)
    assert (found.status, found.out) == (2, "")
    assert "PATH must hold saved_model.pb" in found.err
