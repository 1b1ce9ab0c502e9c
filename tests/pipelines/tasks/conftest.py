import numpy as np
import pytest
import tensorflow as tf


@pytest.fixture
def row_by_row():
    """Runs signatures of images by name and checks that rows are independent; returns inputs and outputs."""

    def run(signatures, images):
        rows = {
            "image": (images / 255).astype("float32"),
            "image_bytes": np.array([tf.io.encode_png(image).numpy() for image in images], object),
            "latents": np.random.default_rng(0).normal(size=[3, 3]).astype("float32"),
            "label": np.array([0, 1, 0]),
            "seed": np.array([3, 2**40, -1]),
        }
        outputs = {}
        for name, signature in signatures.items():
            inputs = {key: tf.constant(rows[key], spec.dtype) for key, spec in signature.inputs.items()}
            together = outputs[name] = signature.function(**inputs)
            alone = signature.function(**{key: value[1:2] for key, value in inputs.items()})
            for key in alone.keys() - {"image_bytes"}:
                np.testing.assert_allclose(alone[key][0], together[key][1], rtol=1e-4, atol=1e-5)
        return rows, outputs

    return run
