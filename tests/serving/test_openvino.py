"""OpenVINO, a foreign reader of SavedModels, runs the exports whose ops it knows as a stock server does."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import layers
from ikelos.serving import Signature, StockModel

os.environ.setdefault("OPENVINO_TELEMETRY", "0")
openvino = pytest.importorskip("openvino", reason="needs openvino, of the extra `dev`")

# OpenVINO fuses ops and so adds in another order: some roundings of float32 per layer, of values around 1.
TOLERANCE = 256 * np.finfo(np.float32).eps


def lstm():
    x = keras.Input((None, 5), name="x")
    return keras.Model(x, keras.layers.Dense(3)(layers.FusedLSTM(8)(layers.FusedLSTM(8, return_sequences=True)(x))))


def gru():
    x = keras.Input((None, 5), name="x")
    return keras.Model(x, keras.layers.Bidirectional(layers.FusedGRU(8))(x))


def transformer():
    x = keras.Input((None, 8), name="x")
    attended = layers.FusedMultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
    return keras.Model(x, keras.layers.Dense(3)(layers.FusedRMSNormalization()(x + attended)))


def decoder():
    x = keras.Input((6, 5), name="x")
    hidden = keras.layers.Reshape((3, 2, 5))(keras.layers.Dense(5, activation="gelu")(x))
    return keras.Model(x, keras.layers.Conv2DTranspose(2, 3, strides=2, activation="sigmoid")(hidden))


@pytest.mark.parametrize("build", [lstm, gru, transformer, decoder])
def test_openvino_gives_what_the_stock_runner_gives(build, export_unchecked, tmp_path):
    keras.utils.set_random_seed(1)
    model = build()
    spec = tf.TensorSpec(model.input.shape, tf.float32)
    length, size = model.input.shape[1] or 4, model.input.shape[2]
    example = {"x": np.ones((1, length, size), np.float32).tolist()}
    signature = Signature("serving_default", lambda x: {"y": model(x)}, {"x": spec}, example, "A test.")
    version = export_unchecked(tmp_path, model, [signature])
    core = openvino.Core()
    # Without the hint, it computes in bfloat16 where the processor has instructions for that.
    compiled = core.compile_model(core.read_model(version), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    generator = np.random.default_rng(1)
    with StockModel(version) as stock:
        for batch in (1, 7):
            x = generator.normal(size=(batch, model.input.shape[1] or 9, size)).astype(np.float32)
            [found] = compiled({"x": x}).values()
            expected = stock.run("serving_default", {"x": x})["y"]
            np.testing.assert_allclose(found, expected, TOLERANCE, TOLERANCE)
