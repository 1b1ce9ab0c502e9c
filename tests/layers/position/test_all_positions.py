import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels, layers


@keras.saving.register_keras_serializable(package="test_all_positions")
class Attention(keras.layers.Layer):
    """Attention of features to themselves with all three encodings that stand inside it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.rotary = layers.RotaryEmbedding(scaling={"kind": "linear", "factor": 2.0}, dtype=self.dtype_policy)
        self.alibi = layers.AlibiBias(3, dtype=self.dtype_policy)
        self.relative = layers.RelativePositionBias(3, num_buckets=8, max_distance=20, dtype=self.dtype_policy)
        self.supports_masking = True

    def build(self, shape):
        self.relative.build(shape[1:2], shape[1:2])

    def call(self, inputs):
        heads = tf.reshape(inputs, [*tf.unstack(tf.shape(inputs)[:2]), 3, 4])
        positions = tf.range(tf.shape(inputs)[1])
        turned = self.rotary(heads, positions)
        bias = self.relative(positions, positions)
        attended = kernels.attention(turned, turned, heads, bias, alibi_slopes=self.alibi.slopes())
        return inputs + tf.reshape(attended, tf.shape(inputs))


@pytest.mark.parametrize("policy", [pytest.param("float32", marks=pytest.mark.slow), "mixed_bfloat16"])
def test_a_model_of_all_trains_compiled_and_is_saved(policy, tmp_path):
    draw = np.random.default_rng(0)
    tokens = draw.integers(1, 5, [64, 7])
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input([None], dtype="int32"),
            keras.layers.Embedding(5, 12, mask_zero=True, dtype=policy),
            layers.SinusoidalPositionEmbedding(dtype=policy),
            layers.LearnedPositionEmbedding(7, dtype=policy),
            Attention(dtype=policy),
            keras.layers.Dense(5, dtype="float32"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=True,
    )
    # Each token's answer is the token before it, which without positions nobody knows.
    losses = model.fit(tokens, np.roll(tokens, 1, axis=1), epochs=40, verbose=0).history["loss"]
    assert losses[-1] < 0.6 * losses[0]
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(tokens), model(tokens))
