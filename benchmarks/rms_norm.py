"""RMS normalisation: the native op beside `keras.ops.rms_normalization`, both in a tf.function.

    python benchmarks/rms_norm.py [--quick] [--json PATH] [--plot PATH]

`compare.py` explains the options and the table.
"""

import compare
import numpy as np
from elementwise import tensorflow

PEER = "keras.ops"
EPSILON = 1e-6


def arrays(case):
    """Returns the input, the scale and the gradient of the output, float32."""
    shape, draw = case["shape"], np.random.default_rng(0)
    x, dy = (draw.standard_normal(shape, np.float32) for _ in range(2))
    return x, np.ones(shape[-1:], np.float32), dy


def ours(x, scale):
    from ikelos import kernels

    return kernels.rms_norm(x, scale, EPSILON, implementation="native")


def keras_ops(x, scale):
    import keras

    return keras.ops.rms_normalization(x, scale, axis=-1, epsilon=EPSILON)


CONTENDERS = {compare.OURS: tensorflow(arrays, ours), PEER: tensorflow(arrays, keras_ops)}


def cases(effort):
    shapes = [(1, 1, 512), (32, 128, 512), (8, 1024, 1024), (4, 100, 97)]
    return [
        compare.Case(
            f"{'x'.join(map(str, shape))} {dtype} {'forward+backward' if backward else 'forward'}",
            {"shape": shape, "dtype": dtype, "backward": backward},
            {PEER: None},
            # bfloat16 has 8 bits, and Keras rounds to them more than once. The scale's gradient sums 8192 numbers.
            tolerance=1e-5 if dtype == "float32" else 3e-2,
        )
        for shape in (shapes[-1:] if effort == "smoke" else shapes)
        for dtype in ("float32", "bfloat16")
        for backward in (False, True)
    ]


if __name__ == "__main__":
    compare.main(__doc__, CONTENDERS, cases, __file__)
