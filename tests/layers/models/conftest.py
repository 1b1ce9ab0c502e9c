import keras
import numpy as np
import pytest
import tensorflow as tf


@pytest.fixture
def tokens():
    return np.random.default_rng(0).integers(0, 30, [3, 14]).astype("int32")


@pytest.fixture
def scattered():
    """Gives a model weights large enough that a wrong one changes its outputs."""

    def scatter(model):
        model.build([None, 8])
        rng = np.random.default_rng(1)
        for weight in model.trainable_variables:
            weight.assign(rng.normal(size=weight.shape, scale=0.3) + (weight.name == "scale"))
        return model

    return scatter


@pytest.fixture
def check_decoding(tokens):
    """Checks that reading prompts and then token after token gives the result of one call on the whole text."""

    def check(model, lengths=(8, 1, 5), steps=6):
        lengths = np.array(lengths, "int32")
        whole = model(tokens).numpy()
        prompts = np.where(np.arange(lengths.max()) < lengths[:, None], tokens[:, : lengths.max()], 29)
        rows = np.arange(len(lengths))

        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)])
        def start(prompts, lengths):
            return model.start(prompts, lengths, tf.shape(prompts)[1] + steps)

        advance = tf.function(model.advance)
        logits, state = start(prompts, lengths)
        for step in range(steps):
            np.testing.assert_allclose(logits, whole[rows, lengths + step - 1], rtol=0, atol=2e-5)
            logits, state = advance(tf.constant(tokens[rows, lengths + step]), state)
        np.testing.assert_allclose(logits, whole[rows, lengths + steps - 1], rtol=0, atol=2e-5)

    return check


@pytest.fixture
def check_propagates_policy(tokens):
    """Checks that the model's own dtype policy reaches its parts, and that logits are float32
    nevertheless."""

    def check(model):
        assert model(tokens).dtype == tf.float32
        policies = {
            layer.name: layer.dtype_policy.name
            for layer in model._flatten_layers(include_self=False)
            if isinstance(layer, keras.layers.Layer)
        }
        assert {name for name, policy in policies.items() if policy != "mixed_bfloat16"} == {"logits"}

    return check
