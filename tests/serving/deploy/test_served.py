import shutil

import pytest
import tensorflow as tf

from ikelos.serving.deploy import Served, find


def test_inputs_that_vary_beyond_the_batch_are_found(tmp_path):
    @tf.function(input_signature=[tf.TensorSpec([None, None, 3], name="x"), tf.TensorSpec([None, 2], name="y")])
    def varies(x, y):
        return {"z": tf.reduce_sum(x, [1, 2]) + y[:, 0]}

    @tf.function(input_signature=[tf.TensorSpec(None, name="x")])
    def any_rank(x):
        return {"z": x}

    @tf.function(input_signature=[tf.TensorSpec([None, 2], name="x")])
    def fixed(x):
        return {"z": x}

    signatures = {"varies": varies, "any_rank": any_rank, "fixed": fixed}
    tf.saved_model.save(tf.Module(), str(tmp_path / "3"), signatures=signatures)
    model = find("lm", tmp_path)
    assert model == Served("lm", tmp_path, {"any_rank": ("x",), "varies": ("x",)})


def test_the_newest_version_counts(version, tmp_path):
    (tmp_path / "2").mkdir()
    shutil.copytree(version, tmp_path / "10")
    assert find("lm", tmp_path) == Served("lm", tmp_path, {}, "portable", (1, 8))


@pytest.mark.parametrize("name", ["", "a/b", "-a", "a:b", "ä", "a b", "x" * 51, "a\n"])
def test_a_name_that_needs_escapes_is_an_error(name, tmp_path):
    with pytest.raises(ValueError, match="`name` must be up to 50 letters"):
        Served(name, tmp_path, {})


def test_a_damaged_version_is_told_by_its_path(version, tmp_path):
    with pytest.raises(ValueError, match="`base_path` must be a folder with the versions 1, 2, "):
        find("lm", tmp_path)
    (tmp_path / "1").mkdir()
    with pytest.raises(ValueError, match=f"{tmp_path}/1 must be a SavedModel. Received: a folder without"):
        find("lm", tmp_path)
    graph = (version / "saved_model.pb").read_bytes()
    (tmp_path / "1" / "saved_model.pb").write_bytes(graph[: len(graph) // 2])
    with pytest.raises(ValueError, match=r"saved_model.pb must be a SavedModel. Received: a file that is cut off"):
        find("lm", tmp_path)
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ValueError, match=r"must have a graph with the tag `serve`. Received: 0 graphs"):
        find("lm", tmp_path)
