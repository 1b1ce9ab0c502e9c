"""RMS normalisation: the native op beside what `keras.layers.RMSNormalization` runs, both in a tf.function.

    python benchmarks/rms_norm.py [--quick] [--json]

Clocks drift by a factor of two, so ours and the peer's are timed in turns, and the ratio is the median of the ratios of
neighbouring turns. A ratio above 1 means that ours is faster.
"""

import argparse
import json
import statistics
import time

import keras
import tensorflow as tf

from ikelos import kernels

PEER = "keras.ops.rms_normalization"
SHAPES = [(1, 1, 512), (32, 128, 512), (8, 1024, 1024), (4, 100, 97)]
EPSILON = 1e-6


def forward(normalise):
    return tf.function(normalise)


def forward_and_backward(normalise):
    @tf.function
    def run(x, scale):
        with tf.GradientTape() as tape:
            tape.watch([x, scale])
            y = normalise(x, scale)
        return tape.gradient(y, [x, scale], output_gradients=x)

    return run


def ours(x, scale):
    return kernels.rms_norm(x, scale, EPSILON, implementation="native")


def peer(x, scale):
    return keras.ops.rms_normalization(x, scale, axis=-1, epsilon=EPSILON)


def time_in_turns(functions, arguments, seconds):
    """For each function, the milliseconds a call took in each turn."""
    calls = [_calls_per_turn(function, arguments) for function in functions]
    turns = [[] for _ in functions]
    end = time.perf_counter() + seconds
    while not turns[0] or time.perf_counter() < end:
        for function, count, times in zip(functions, calls, turns, strict=True):
            start = time.perf_counter()
            for _ in range(count):
                function(*arguments)
            times.append((time.perf_counter() - start) / count * 1e3)
    return turns


def _calls_per_turn(function, arguments):
    """As many as take about 20 ms, far above the resolution of the clock and short beside its drift."""
    function(*arguments)
    start = time.perf_counter()
    function(*arguments)
    return max(1, round(0.02 / (time.perf_counter() - start)))


def measure(shape, dtype, name, wrap, seconds):
    x = tf.cast(tf.random.stateless_normal(shape, [0, 0]), dtype)
    arguments = (x, tf.ones(shape[-1:], dtype))
    our_times, peer_times = time_in_turns([wrap(ours), wrap(peer)], arguments, seconds)
    return {
        "case": f"{'x'.join(map(str, shape))} {dtype} {name}",
        "ours_ms": statistics.median(our_times),
        "peer": PEER,
        "peer_ms": statistics.median(peer_times),
        "ratio": statistics.median(b / a for a, b in zip(our_times, peer_times, strict=True)),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the time, for a first look")
    parser.add_argument("--json", action="store_true", help="print a list of objects and nothing else")
    arguments = parser.parse_args()
    seconds = 0.3 if arguments.quick else 3.0
    rows = [
        measure(shape, dtype, name, wrap, seconds)
        for shape in SHAPES
        for dtype in ("float32", "bfloat16")
        for name, wrap in (("forward", forward), ("forward+backward", forward_and_backward))
    ]
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'case':<44}{'ours ms':>10}{'peer ms':>10}{'ratio':>8}   peer: {PEER}")
    for row in rows:
        print(f"{row['case']:<44}{row['ours_ms']:>10.3f}{row['peer_ms']:>10.3f}{row['ratio']:>8.2f}")


if __name__ == "__main__":
    main()
