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


ENCODINGS = {
    layers.RotaryEmbedding: [2, 4, 3, 6],
    layers.SinusoidalPositionEmbedding: [2, 4, 6],
    layers.LearnedPositionEmbedding: [2, 4, 6],
}


def encoding_of(layer_class):
    return layer_class(9) if layer_class is layers.LearnedPositionEmbedding else layer_class()


@pytest.mark.parametrize(("layer_class", "shape"), ENCODINGS.items())
def test_inputs_and_positions_have_the_shapes_that_they_are_said_to_have(layer_class, shape):
    layer, x = encoding_of(layer_class), np.random.default_rng(0).normal(size=shape).astype("float32")
    names = ",".join("BTNH" if len(shape) == 4 else "BTD")
    for wrong in (x[0], x[None]):
        with pytest.raises(ValueError, match=rf"`inputs` must be of shape \[{names}\]. Received: inputs.shape="):
            encoding_of(layer_class)(wrong, positions=np.arange(wrong.shape[1]))
    expected = layer(x, positions=np.arange(4))
    for same in (np.arange(4)[None], np.broadcast_to(np.arange(4), [2, 4])):
        np.testing.assert_array_equal(layer(x, positions=same), expected)
    for wrong in ([1], [3], [1, 1], [2, 1], [3, 4], [4, 2], [2, 5]):
        message = rf"`positions` must be of shape .* here \[4\] or \[2,4\]. Received: positions.shape=\({wrong[0]},"
        with pytest.raises(ValueError, match=message):
            layer(x, positions=np.zeros(wrong, "int32"))


@pytest.mark.parametrize(
    ("layer_class", "jit_compile"),
    [
        (layers.RotaryEmbedding, False),
        (layers.RotaryEmbedding, True),
        (layers.SinusoidalPositionEmbedding, False),
        (layers.LearnedPositionEmbedding, True),
    ],
)
def test_so_they_have_where_the_graph_does_not_know(layer_class, jit_compile):
    shape = ENCODINGS[layer_class]
    layer, x = encoding_of(layer_class), np.random.default_rng(0).normal(size=shape).astype("float32")
    expected = layer(x, positions=np.arange(4))
    unknown = tf.TensorSpec([None, None, *shape[2:]])

    def graph(rank):
        signature = [unknown, tf.TensorSpec([None] * rank, tf.int32)]
        return tf.function(lambda x, positions: layer(x, positions), signature, jit_compile=jit_compile)

    by_row, for_all = graph(2), graph(1)
    right = np.arange(4, dtype="int32")
    np.testing.assert_allclose(for_all(x, right), expected, rtol=0, atol=1e-6)
    for positions in (right[None], np.broadcast_to(right, [2, 4])):
        np.testing.assert_allclose(by_row(x, positions), expected, rtol=0, atol=1e-6)
    for call, batch, size in ((for_all, 2, [1]), (by_row, 2, [2, 1]), (by_row, 4, [4, 1]), (by_row, 1, [2, 4])):
        with pytest.raises((tf.errors.InvalidArgumentError, ValueError)):
            call(np.resize(x, [batch, *shape[1:]]), np.zeros(size, "int32"))


@pytest.mark.parametrize("bias", [layers.AlibiBias(2), layers.RelativePositionBias(2)], ids=["alibi", "relative"])
def test_a_bias_is_of_one_batch(bias):
    query, key = np.zeros([3, 4], "int32"), np.arange(5, dtype="int32")
    for rows in (key, key[None], np.broadcast_to(key, [3, 5])):
        assert bias(query, rows).shape == bias.compute_output_shape(query.shape, rows.shape) == (3, 2, 4, 5)
        assert bias(rows, query).shape == bias.compute_output_shape(rows.shape, query.shape) == (3, 2, 5, 4)
    with pytest.raises(ValueError, match=r"must have one batch size. Received: .*\(3, 4\), .*\(2, 5\)"):
        bias(query, np.zeros([2, 5], "int32"))


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
