"""How exact attention is: `ikelos.kernels.attention` in each dtype against float64.

    python benchmarks/numerics.py

For each dtype and option: the largest error of the output and of the gradients by query, key and value, as a part of
the largest value, in units of the dtype's epsilon (float32: 2^-23, bfloat16: 2^-7, float16: 2^-10). Behind it is the
same for plain TensorFlow with every step in that dtype. The exact values are those of the reference in float64, which
`tests/kernels` holds against formulas. `kernels/NUMERICS.md` shows the table.
"""

import numpy as np
import tensorflow as tf

from ikelos import kernels

B, T, S, N, K, H = 2, 512, 512, 4, 2, 64
EPSILON = {"float32": 2.0**-23, "bfloat16": 2.0**-7, "float16": 2.0**-10}


def options(draw):
    """What distinguishes the rows of the table, by name; arrays are float64 or integers."""
    bias = draw.standard_normal([1, N, T, S])
    return {
        "nothing else": {},
        "causal": {"is_causal": True},
        "window (128, 0)": {"local_window_size": (128, 0)},
        "lengths": {"query_seq_lengths": [300, 512], "key_value_seq_lengths": [512, 77]},
        "mask, half allowed": {"mask": draw.random([B, 1, T, S]) < 0.5},
        "bias": {"bias": bias},
        "ALiBi slopes": {"alibi_slopes": [0.5, 0.25, 0.125, 0.0625], "is_causal": True},
        "dropout 0.1": {"dropout_rate": 0.1, "dropout_seed": [1, 2]},
        "logits up to 40": {"scale": 1.0},
    }


def naive(query, key, value, *, is_causal=False, bias=None, scale=H**-0.5):
    """Attention as one would write it, in the dtype of its inputs."""
    key, value = (tf.repeat(x, N // K, axis=2) for x in (key, value))
    logits = tf.einsum("btnh,bsnh->bnts", query, key) * tf.cast(scale, query.dtype)
    if bias is not None:
        logits += bias
    if is_causal:
        logits += tf.cast(tf.where(tf.linalg.band_part(tf.ones([T, S], tf.bool), -1, 0), 0.0, -1e9), query.dtype)
    return tf.einsum("bnts,bsnh->btnh", tf.nn.softmax(logits), value)


def results(attention, arrays, dtype, given):
    """Output and gradients in float64, computed in `dtype`."""
    query, key, value, output_grad = (tf.cast(x, dtype) for x in arrays)
    if "bias" in given:
        given = {**given, "bias": tf.cast(given["bias"], dtype)}
    with tf.GradientTape() as tape:
        tape.watch((query, key, value))
        output = attention(query, key, value, **given)
    return [tf.cast(x, tf.float64) for x in (output, *tape.gradient(output, (query, key, value), output_grad))]


def units(exact, found, dtype):
    """The largest errors of the output, and of any gradient."""
    errors = [np.max(np.abs(f - e)) / np.max(np.abs(e)) / EPSILON[dtype] for e, f in zip(exact, found, strict=True)]
    return f"{errors[0]:.2f}", f"{max(errors[1:]):.2f}"


def main():
    draw = np.random.default_rng(0)
    shapes = ([B, T, N, H], [B, S, K, H], [B, S, K, H], [B, T, N, H])
    print("| option | dtype | output | naive | gradients | naive |\n|---|---|---|---|---|---|")
    for name, given in options(draw).items():
        for dtype in EPSILON:
            # Rounded first: what is measured is the arithmetic, not the storage of the inputs.
            arrays = [tf.cast(tf.cast(draw.standard_normal(shape), dtype), tf.float64) for shape in shapes]
            if "bias" in given:
                given = {**given, "bias": tf.cast(tf.cast(given["bias"], dtype), tf.float64)}
            exact = results(kernels.attention, arrays, "float64", given)
            native = results(lambda *a, **o: kernels.attention(*a, implementation="native", **o), arrays, dtype, given)
            output, gradients = units(exact, native, dtype)
            beside = ("", "")
            if set(given) <= {"is_causal", "bias", "scale"}:
                beside = units(exact, results(naive, arrays, dtype, given), dtype)
            print(f"| {name} | {dtype} | {output} | {beside[0]} | {gradients} | {beside[1]} |")


if __name__ == "__main__":
    main()
