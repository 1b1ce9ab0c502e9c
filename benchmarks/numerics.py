"""The accuracy of `ikelos.kernels.attention`, `lstm` and `gru` in each dtype, compared with float64.

    python benchmarks/numerics.py [--smoke] [OP ...]

A table has, for each dtype and option, the largest error of the results and of all gradients, relative to the largest
value, in units of the dtype's epsilon (float32: 2^-23, bfloat16: 2^-7, float16: 2^-10). Beside it is the error of plain
TensorFlow with every step in that dtype, for options that are simple to write. The exact values are those of the
reference in float64, which `tests/kernels` compares with formulas. `kernels/NUMERICS.md` shows the tables.

`--smoke` takes tiny sizes, to see that everything runs.
"""

import argparse
import functools

import numpy as np
import tensorflow as tf
from numerics_attention import Attention
from numerics_recurrent import Recurrent

EPSILON = {"float32": 2.0**-23, "bfloat16": 2.0**-7, "float16": 2.0**-10}
# Each op has five members. `options(draw)` returns the options of each row of its table, by the row's name.
# `operands(draw, **given)` returns the arrays that have a gradient. `results` are the shapes of the results.
# `run(implementation, *operands, **given)` runs the op. `naive(*operands, **given)` computes the same in plain
# TensorFlow; it returns None if it does not support an option.
OPS = {
    "attention": Attention(batch=2, queries=512, keys=512, heads=4, key_heads=2, size=64),
    "lstm": Recurrent("lstm", batch=4, time=100, features=128, units=128),
    "gru": Recurrent("gru", batch=4, time=100, features=128, units=128),
}
SMOKE_OPS = {
    "attention": Attention(batch=2, queries=16, keys=16, heads=4, key_heads=2, size=8),
    "lstm": Recurrent("lstm", batch=2, time=5, features=3, units=4),
    "gru": Recurrent("gru", batch=2, time=5, features=3, units=4),
}


def computed(compute, operands, grads, given, dtype):
    """Returns results and gradients, computed in `dtype`, as float64; None if `compute` returns None."""
    operands, grads = ([tf.cast(x, dtype) for x in arrays] for arrays in (operands, grads))
    given = {name: tf.cast(x, dtype) if _is_real(x) else x for name, x in given.items()}
    with tf.GradientTape() as tape:
        tape.watch(operands)
        results = compute(*operands, **given)
    if results is None:
        return None
    return [[tf.cast(x, tf.float64) for x in group] for group in (results, tape.gradient(results, operands, grads))]


def _is_real(x):
    """Returns whether `x` is an array of floats."""
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def units(exact, found, dtype):
    """Returns the largest errors of the results and of the gradients, in units of epsilon, as text."""
    if found is None:
        return "", ""
    return tuple(
        f"{max(np.max(np.abs(b - a)) / np.max(np.abs(a)) for a, b in zip(*groups, strict=True)) / EPSILON[dtype]:.2f}"
        for groups in zip(exact, found, strict=True)
    )


def table(name, op):
    """Prints the table of an op."""
    draw = np.random.default_rng(0)
    print(f"\n| {name} | dtype | results | naive | gradients | naive |\n|---|---|---|---|---|---|")
    for option, drawn in op.options(draw).items():
        for dtype in EPSILON:
            # Inputs are rounded first, so that the error of the arithmetic is measured and not that of their storage.
            def rounded(x, dtype=dtype):
                return tf.cast(tf.cast(x, dtype), tf.float64).numpy()

            given = {key: rounded(x) if _is_real(x) else x for key, x in drawn.items()}
            operands = [rounded(x) for x in op.operands(draw, **given)]
            grads = [rounded(draw.standard_normal(shape)) for shape in op.results]
            exact = computed(functools.partial(op.run, "reference"), operands, grads, given, "float64")
            native = computed(functools.partial(op.run, "native"), operands, grads, given, dtype)
            naive = computed(op.naive, operands, grads, given, dtype)
            (results, gradients), beside = units(exact, native, dtype), units(exact, naive, dtype)
            print(f"| {option} | {dtype} | {results} | {beside[0]} | {gradients} | {beside[1]} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ops", metavar="OP", nargs="*", help=f"{', '.join(OPS)}; by default all")
    parser.add_argument("--smoke", action="store_const", dest="choice", const=SMOKE_OPS, default=OPS)
    arguments = parser.parse_args()
    unknown = set(arguments.ops) - set(OPS)
    if unknown:
        parser.error(f"OP must be one of {', '.join(OPS)}. Received: {', '.join(sorted(unknown))}")
    for name in arguments.ops or OPS:
        table(name, arguments.choice[name])


if __name__ == "__main__":
    main()
