import keras
import numpy as np
import pytest

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.training.start import Choice, Start

CHOICE = Choice("`from` must be a run", "from=runs/a")


class Counting(keras.layers.Layer):
    """Layer with weights, statistics and a counter of steps."""

    def build(self, shape):
        self.count = self.add_weight(shape=(), dtype="int64", initializer="zeros", trainable=False)
        self.norm = keras.layers.BatchNormalization()
        self.norm.build(shape)

    def call(self, inputs):
        return self.norm(inputs)


def model(*units):
    return keras.Sequential([keras.Input((2,)), *(keras.layers.Dense(n) for n in units), Counting()])


def numbered(made):
    """Returns the model with weights that are all different."""
    made.set_weights([np.full(weight.shape, place + 1, weight.dtype) for place, weight in enumerate(made.weights)])
    return made


def test_weights_and_statistics_are_copied_and_counters_are_not():
    there, here = numbered(model(3, 4)), model(3, 4)
    Start(CHOICE, {"only": there}.__getitem__).copy_to(here, "only")
    for copied, weight in zip(here.weights, there.weights, strict=True):
        expected = 0 if weight.dtype == "int64" else weight.numpy()
        np.testing.assert_array_equal(copied, np.broadcast_to(expected, weight.shape))
    assert here.layers[-1].count.numpy() == 0 != there.layers[-1].count.numpy()


@pytest.mark.parametrize("units", [(3, 5), (3,), (3, 4, 4)])
def test_another_architecture_is_one_error_that_names_a_weight(units):
    here, start = numbered(model(*units)), Start(CHOICE, lambda stage: model(3, 4))
    before = here.get_weights()
    with pytest.raises(
        UserError,
        match=r"^`from` must .*: in stage 'only', \S+ is \[.*\] there and \[.*\] here\. Received: from=runs/a$",
    ):
        start.copy_to(here, "only")
    for weight, expected in zip(here.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)
