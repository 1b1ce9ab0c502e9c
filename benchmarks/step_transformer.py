"""The Transformer of `step.py` in Ikelos, Keras and PyTorch, all with the same weights."""

import numpy as np

# Names of the projections of a layer, in the order in which `weights` draws them.
PROJECTIONS = ("query", "key", "value", "output", "gate", "up", "down")


def arguments(batch, time, layers=4, size=256, heads=4, hidden=672, vocabulary=96):
    return {
        "model": "transformer",
        "batch": batch,
        "time": time,
        "layers": layers,
        "size": size,
        "heads": heads,
        "hidden": hidden,
        "vocabulary": vocabulary,
    }


def weights(case):
    """Returns embedding, the seven projections of each layer (inputs by outputs), and head; all scales are 1."""
    draw, size, hidden = np.random.default_rng(0), case["size"], case["hidden"]

    def normal(*shape):
        return 0.02 * draw.standard_normal(shape, np.float32)

    shapes = [(size, size)] * 4 + [(size, hidden)] * 2 + [(hidden, size)]
    layers = [
        {name: normal(*shape) for name, shape in zip(PROJECTIONS, shapes, strict=True)} for _ in range(case["layers"])
    ]
    return normal(case["vocabulary"], size), layers, normal(size, case["vocabulary"])


def ikelos(case):
    from ikelos.layers import TransformerLanguageModel

    model = TransformerLanguageModel(
        case["vocabulary"], case["time"], case["layers"], case["size"], case["heads"], case["hidden"]
    )
    model.build((None, case["time"]))
    embedding, layers, head = weights(case)
    model.embedding.embeddings.assign(embedding)
    model.head.kernel.assign(head)
    for block, layer in zip(model.blocks, layers, strict=True):
        attention, network = block.attention, block.feed_forward
        parts = (attention.query, attention.key, attention.value, attention.output_projection)
        for part, name in zip((*parts, network.gate, network.up, network.down), PROJECTIONS, strict=True):
            part.kernel.assign(layer[name])
    return model


def keras(case):
    import keras
    import tensorflow as tf

    from ikelos.layers import RotaryEmbedding

    size, heads, hidden = case["size"], case["heads"], case["hidden"]
    rotate = RotaryEmbedding()

    class RotaryAttention(keras.layers.MultiHeadAttention):
        """Attention with rotary positions, for which Keras has no layer."""

        def _compute_attention(self, query, key, value, *args, **kwargs):
            positions = tf.range(tf.shape(query)[1])
            return super()._compute_attention(rotate(query, positions), rotate(key, positions), value, *args, **kwargs)

    def dense(units, activation=None):
        return keras.layers.Dense(units, activation, use_bias=False)

    embedding, layers, head = weights(case)
    inputs = keras.Input((case["time"],), dtype="int32")
    hidden_states = keras.layers.Embedding(case["vocabulary"], size, weights=[embedding])(inputs)
    for layer in layers:
        attention = RotaryAttention(heads, size // heads, use_bias=False)
        normalised = keras.layers.RMSNormalization(epsilon=1e-6)(hidden_states)
        hidden_states += attention(normalised, normalised, use_causal_mask=True)
        gate, up, down = dense(hidden, "silu"), dense(hidden), dense(size)
        normalised = keras.layers.RMSNormalization(epsilon=1e-6)(hidden_states)
        hidden_states += down(gate(normalised) * up(normalised))
        split = (size, heads, size // heads)
        attention.query_dense.kernel.assign(layer["query"].reshape(split))
        attention.key_dense.kernel.assign(layer["key"].reshape(split))
        attention.value_dense.kernel.assign(layer["value"].reshape(split))
        attention.output_dense.kernel.assign(layer["output"].reshape(heads, size // heads, size))
        for part, name in zip((gate, up, down), PROJECTIONS[4:], strict=True):
            part.kernel.assign(layer[name])
    logits = dense(case["vocabulary"])
    model = keras.Model(inputs, logits(keras.layers.RMSNormalization(epsilon=1e-6)(hidden_states)))
    logits.kernel.assign(head)
    return model


def pytorch(case):
    import torch_models

    return torch_models.Llama(*weights(case), heads=case["heads"], time=case["time"])
