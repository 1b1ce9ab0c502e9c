"""The LSTM of `step.py` in Ikelos, Keras and PyTorch, all with the same weights."""

import numpy as np


def arguments(batch, time, layers=2, size=256, vocabulary=96):
    return {
        "model": "lstm",
        "batch": batch,
        "time": time,
        "layers": layers,
        "size": size,
        "vocabulary": vocabulary,
    }


def weights(case):
    """Returns the weights in Keras's layout: embedding; kernel, recurrent kernel, bias of each layer; head."""
    draw, size, vocabulary = np.random.default_rng(0), case["size"], case["vocabulary"]

    def uniform(*shape):
        return draw.uniform(-(size**-0.5), size**-0.5, shape).astype(np.float32)

    layers = [[uniform(size, 4 * size), uniform(size, 4 * size), uniform(4 * size)] for _ in range(case["layers"])]
    return uniform(vocabulary, size), layers, [uniform(size, vocabulary), uniform(vocabulary)]


def ikelos(case):
    from ikelos.layers import LSTMLanguageModel

    model = LSTMLanguageModel(case["vocabulary"], case["time"], case["layers"], case["size"])
    model.build((None, case["time"]))
    embedding, layers, head = weights(case)
    model.embedding.set_weights([embedding])
    for lstm, layer in zip(model.lstms, layers, strict=True):
        lstm.set_weights(layer)
    model.head.set_weights(head)
    return model


def keras(case):
    import keras

    embedding, layers, head = weights(case)
    model = keras.Sequential(
        [
            keras.Input((case["time"],), dtype="int32"),
            keras.layers.Embedding(case["vocabulary"], case["size"]),
            *(keras.layers.LSTM(case["size"], return_sequences=True, use_cudnn=False) for _ in layers),
            keras.layers.Dense(case["vocabulary"]),
        ]
    )
    model.set_weights([embedding, *(x for layer in layers for x in layer), *head])
    return model


def pytorch(case):
    import torch_models

    return torch_models.LSTMLanguageModel(*weights(case))
