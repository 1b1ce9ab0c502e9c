import pathlib

import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.image import other_run

PIXEL = (1, 1, 1)


@pytest.fixture
def export(tmp_path):
    """Saves a model of one pixel, whose shade is the seed, or the label if the model takes labels."""

    def save(name="sample", label=False):
        class Model(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, "seed")])
            def plain(self, seed):
                return {"image": tf.cast(seed, tf.float32)[:, None, None, None] / 255}

            @tf.function(
                input_signature=[tf.TensorSpec([None], tf.int64, "seed"), tf.TensorSpec([None], tf.int64, "label")]
            )
            def told(self, seed, label):
                return {"image": tf.cast(label, tf.float32)[:, None, None, None] / 255}

        model = Model()
        tf.saved_model.save(model, tmp_path / "export" / "1", signatures={name: model.told if label else model.plain})
        return tmp_path

    return save


def test_samples_are_of_the_seeds_from_0_on(export):
    images = other_run.sampler(export(), None, PIXEL, 3)(7)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images[:, 0, 0, 0], np.arange(7))


def test_the_other_run_may_lie_in_the_home_folder(export, monkeypatch):
    monkeypatch.setenv("HOME", str(export().parent))
    assert len(other_run.sampler(pathlib.Path("~", export().name), None, PIXEL, 3)(2)) == 2


def test_a_model_that_is_told_classes_is_asked_for_those_of_the_training_images(export):
    sample = other_run.sampler(export(label=True), np.array([4, 4, 9]), PIXEL, 50)
    found, counts = np.unique(sample(200), return_counts=True)
    np.testing.assert_array_equal(found, [4, 9])
    assert counts[0] > counts[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (None, r"^`evaluation.other_run` must be .*`ikelos export` makes\. Received: evaluation\.other_run=/"),
        (
            {"name": "other"},
            r"must have exported the signature 'sample'\. Received: evaluation\.other_run=/.*, with other$",
        ),
        ({"label": True}, r"must be a run with an unconditional model, as this data has no classes\. Received: "),
    ],
)
def test_what_gives_no_samples_is_refused(export, tmp_path, arguments, message):
    workdir = tmp_path if arguments is None else export(**arguments)
    with pytest.raises(UserError, match=message):
        other_run.sampler(workdir, None, PIXEL, 3)


def test_images_of_another_shape_are_refused(export):
    with pytest.raises(
        UserError, match=r"generate images of the shape \[28, 28, 1\]\. Received: .*images are \[1, 1, 1\]$"
    ):
        other_run.sampler(export(), None, (28, 28, 1), 3)(1)
