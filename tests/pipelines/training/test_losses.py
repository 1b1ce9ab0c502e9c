import keras
import numpy as np
import pytest

from ikelos.pipelines.training.losses import Crossentropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_equals_that_of_keras_on_one_hot_classes(smoothing):
    rng = np.random.default_rng(0)
    logits, classes = rng.normal(size=[3, 4, 7]).astype("float32"), rng.integers(0, 7, [3, 4])
    weights = rng.integers(0, 2, [3, 4]).astype("float32")
    stock = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=smoothing, reduction="mean_with_sample_weight"
    )
    found = Crossentropy(smoothing)(classes, logits, weights)
    np.testing.assert_allclose(found, stock(np.eye(7)[classes], logits, weights), rtol=1e-5)
