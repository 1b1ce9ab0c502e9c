"""Attention: `ikelos.kernels.attention` beside Keras, Keras under XLA, PyTorch, and itself under XLA.

    python benchmarks/attention.py [--quick] [--torch-python PATH] [--json PATH] [--plot PATH]
    python benchmarks/attention.py --cases 'causal T=S=2048' --peers PyTorch

`compare.py` explains the options and the table. A full run takes about 25 minutes, `--quick` less than 4.

Inputs are `[B,T,N,H]`, N = 8, in a `tf.function`. Keras runs `keras.ops.dot_product_attention`, as its
`MultiHeadAttention` does; PyTorch runs `scaled_dot_product_attention` on its fastest layout, `[B,N,T,H]`. Useful FLOPs
are 4 B N T S H forward and 2.5 times that backward, half of it if causal, and with lengths only those of the pairs
within them. With lengths, the peers get a mask of the keys only, while ours also skips queries beyond their lengths.
Decoding is one call, or 64 in a row, each of which adds the last output to its query: TensorFlow runs such a loop as
one graph, PyTorch from Python. If a call is too short for the goal, the row "Ikelos under XLA" shows the difference in
time.

B*N is 8 and 64; if a call would do more than 3e11 FLOPs, a second and a half on two cores, it is 32 or 16 instead of
64. Keras is left out if its arrays may not fit into memory. The table says what was left out.
"""

import compare
import numpy as np
from compare import Goal
from workers import Contender

HEADS = 8
KERAS, KERAS_XLA, PYTORCH, XLA = "Keras", "Keras under XLA", "PyTorch", "Ikelos under XLA"
# If the product of B, N, T, S and H is below this, a forward pass takes less than about 5 ms.
SHORT = 3e8
# FLOPs of about a second and a half on two cores. A round of all peers takes several times as long, and there are
# seven rounds.
MOST_FLOPS = 3e11
# Stock attention holds several arrays of [B,N,T,S] at once; more elements than this may not fit into memory.
MOST_PAIRS = 3e8
# XLA does not fuse attention on a CPU, so that Keras takes as long with XLA as without. Its cases are therefore small.
XLA_TIME, XLA_BATCH = 2048, 1
# Tolerances: 8 and 11 bits, rounded at other places by each peer.
HALF = {"bfloat16": 2e-2, "float16": 3e-3}


def arguments(batch, queries, keys, size=64, **others):
    """Returns the arguments of a case, for `inputs` and the contenders."""
    defaults = {"causal": False, "backward": False, "lengths": False, "repeat": 1, "dtype": "float32"}
    return {"batch": batch, "queries": queries, "keys": keys, "size": size, **defaults, **others}


def inputs(case):
    """Returns query, key, value, gradient of the output, and the lengths of queries and keys, or None."""
    draw = np.random.default_rng(0)
    long, short = ([case["batch"], case[axis], HEADS, case["size"]] for axis in ("queries", "keys"))
    query, key, value, output_grad = (draw.standard_normal(s, np.float32) for s in (long, short, short, long))
    if not case["lengths"]:
        return query, key, value, output_grad, None
    lengths = [draw.integers(0, case[axis] + 1, case["batch"], np.int32) for axis in ("queries", "keys")]
    output_grad *= _meeting(case, lengths)[..., None, None]
    return query, key, value, output_grad, lengths


def _meeting(case, lengths):
    """Returns Boolean `[B,T]`: whether a query attends to a key."""
    return (np.arange(case["queries"]) < lengths[0][:, None]) & (lengths[1] > 0)[:, None]


def useful_flops(case):
    pairs = case["batch"] * case["queries"] * case["keys"] / (2 if case["causal"] else 1)
    if case["lengths"]:
        query_lengths, key_lengths = inputs(case)[-1]
        pairs = float(query_lengths.astype(np.int64) @ key_lengths)
    return 4 * pairs * HEADS * case["size"] * (3.5 if case["backward"] else 1) * case["repeat"]


def within_lengths(case, arrays):
    """Returns the results with 0 where the kernel skips queries or rows by their lengths.

    Other libraries compute outputs there: for queries beyond their lengths, and for rows without keys, where a softmax
    over nothing may be NaN.
    """
    lengths = inputs(case)[-1]
    if lengths is None:
        return arrays
    output, *gradients = arrays
    any_keys = (lengths[1] > 0)[:, None, None, None]
    return [
        np.where(_meeting(case, lengths)[..., None, None], output, 0),
        *(np.where(any_keys, gradient, 0) for gradient in gradients),
    ]


def chained(attend, query, repeat):
    """Makes `repeat` calls in a row and returns the output of the last call, and of the first if there are several.

    Each call adds the query to the last output. With the outputs alone, they would soon all be the mean of the values,
    even if a contender were wrong.
    """
    first = output = attend(query)
    for _ in range(repeat - 1):
        output = attend(query + output)
    return [output] if repeat == 1 else [output, first]


def tensorflow(attend, jit_compile):
    """Returns `prepare` of a contender that runs `attend(query, key, value, causal, lengths)`."""

    def prepare(case):
        import tensorflow as tf

        *arrays, lengths = inputs(case)
        query, key, value, output_grad = (tf.cast(x, case["dtype"]) for x in arrays)
        lengths = None if lengths is None else [tf.constant(x) for x in lengths]

        @tf.function(autograph=False, jit_compile=jit_compile)
        def run(query, key, value, output_grad, lengths):
            with tf.GradientTape() as tape:
                tape.watch([query, key, value])
                outputs = chained(lambda x: attend(x, key, value, case["causal"], lengths), query, case["repeat"])
            if not case["backward"]:
                return outputs
            return [*outputs, *tape.gradient(outputs[0], [query, key, value], output_grad)]

        def call():
            return run(query, key, value, output_grad, lengths)

        return call, lambda: within_lengths(case, [tf.cast(x, tf.float32).numpy() for x in call()])

    return prepare


def ikelos(query, key, value, causal, lengths):
    from ikelos import kernels

    query_lengths, key_lengths = lengths or (None, None)
    return kernels.attention(
        query,
        key,
        value,
        is_causal=causal,
        query_seq_lengths=query_lengths,
        key_value_seq_lengths=key_lengths,
        implementation="native",
    )


def keras(query, key, value, causal, lengths):
    import keras
    import tensorflow as tf

    mask = None if lengths is None else tf.sequence_mask(lengths[1], tf.shape(key)[1])[:, None, None, :]
    return keras.ops.dot_product_attention(query, key, value, mask=mask, is_causal=causal)


def pytorch(case):
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    *arrays, lengths = inputs(case)
    dtype = getattr(torch, case["dtype"])
    query, key, value, output_grad = (torch.from_numpy(x).transpose(1, 2).contiguous().to(dtype) for x in arrays)
    mask = None
    if lengths is not None:
        mask = (torch.arange(case["keys"]) < torch.from_numpy(lengths[1])[:, None])[:, None, None, :]
    wanted = [x.requires_grad_(case["backward"]) for x in (query, key, value)]

    def attend(query):
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=case["causal"])

    def call():
        with torch.inference_mode(not case["backward"]):
            outputs = chained(attend, query, case["repeat"])
            return [*outputs, *torch.autograd.grad(outputs[0], wanted, output_grad)] if case["backward"] else outputs

    def results():
        return within_lengths(case, [x.detach().float().transpose(1, 2).numpy() for x in call()])

    return call, results


def about_ours():
    from ikelos.kernels import dispatch

    return str(dispatch.explain("attention", shape=[1, 1024, HEADS, 64]))


CONTENDERS = {
    compare.OURS: Contender(tensorflow(ikelos, jit_compile=False), about=about_ours),
    PYTORCH: Contender(pytorch, "torch"),
    KERAS: Contender(tensorflow(keras, jit_compile=False)),
    KERAS_XLA: Contender(tensorflow(keras, jit_compile=True)),
    XLA: Contender(tensorflow(ikelos, jit_compile=True)),
}


def case(name, arguments, peers, tolerance=1e-4, left_out=()):
    return compare.Case(name, arguments, peers, useful_flops(arguments), tolerance, ", ".join(left_out))


def square(time, batch, size, causal, backward):
    """Returns the case with T = S and its goals, if there are any; with a smaller batch if it would take too long."""
    # One call of a tf.function costs up to 0.6 ms for Python and for waking threads. A model pays this once for many
    # ops, so short calls run four in a row.
    repeat = 4 if batch * HEADS * time**2 * size < SHORT else 1
    options, left_out = {"causal": causal, "backward": backward, "repeat": repeat}, []
    while useful_flops(arguments(batch, time, time, size, **options)) > MOST_FLOPS:
        left_out.append(f"B*N={batch * HEADS}")
        batch //= 2
    peers = {PYTORCH: None, compare.SGEMM: None}
    if batch * HEADS * time**2 < MOST_PAIRS:
        peers[KERAS] = None
        if time <= XLA_TIME and batch <= XLA_BATCH:
            peers[KERAS_XLA] = None
    left_out += [name for name in (KERAS, KERAS_XLA) if name not in peers]
    peers[XLA] = compare.under_xla(repeat)
    if size == 64 and time >= 512:
        peers[PYTORCH] = Goal(1.2 if backward else 1.3 if causal else 1.15)
    if size == 64 and time == 2048:
        peers[compare.SGEMM] = Goal(0.7 if causal else 0.8)
        if backward:
            peers[KERAS] = Goal(2.9 if causal else 1.7)
    kind = f"{'forward+backward' if backward else 'forward'} {'causal' if causal else 'full'}"
    return case(
        f"{kind} T=S={time} B*N={batch * HEADS} H={size}{', 4 in a row' if repeat > 1 else ''}",
        arguments(batch, time, time, size, **options),
        peers,
        left_out=left_out,
    )


def lengths(batch, time, backward):
    goal = None if backward else Goal(2.5)
    return case(
        f"{'forward+backward' if backward else 'forward'} random lengths T=S={time} B*N={batch * HEADS} H=64",
        arguments(batch, time, time, lengths=True, backward=backward),
        {PYTORCH: goal, compare.SGEMM: None, KERAS: None, XLA: compare.under_xla()},
    )


def decode(batch, keys, repeat=64, dtype="float32"):
    """Returns the case of decoding one token, `repeat` times in a row.

    One call of a `tf.function` costs about 0.3 ms of Python, more than the work of a short call. A loop that decodes in
    a graph pays this once and not for each token, so the goal is for many calls in a row.
    """
    stored = "" if dtype == "float32" else f" {dtype}"
    calls = f"{repeat} in a row" if repeat > 1 else "one call"
    goal = Goal(1.2) if repeat > 1 and dtype == "float32" else None
    return case(
        f"decode T=1 S={keys} B={batch} N={HEADS} H=64{stored}, {calls}",
        arguments(batch, 1, keys, repeat=repeat, dtype=dtype),
        {PYTORCH: goal, KERAS: None, XLA: compare.under_xla(repeat)},
        tolerance=HALF.get(dtype, 1e-4),
    )


def half(dtype, time, causal):
    return case(
        f"forward {'causal' if causal else 'full'} T=S={time} B*N={HEADS} H=64 {dtype}",
        arguments(1, time, time, causal=causal, dtype=dtype),
        {PYTORCH: None, compare.SGEMM: None},
        tolerance=HALF[dtype],
    )


def cases(effort):
    both = (False, True)
    if effort == "smoke":
        chosen = [
            square(40, 1, 32, causal=True, backward=True),
            lengths(8, 4, True),  # includes a row without keys
            decode(1, 16),
            decode(1, 16, repeat=1),
            *(half(dtype, 16, True) for dtype in HALF),
        ]
    elif effort == "quick":
        chosen = [
            *(square(time, 1, 64, causal, backward) for time in (512, 2048) for causal in both for backward in both),
            square(512, 8, 64, True, True),
            square(4096, 1, 64, True, False),
            lengths(8, 1024, False),
            decode(1, 1024),
            decode(8, 1024),
            decode(1, 1024, repeat=1),
            *(decode(8, 1024, dtype=dtype) for dtype in HALF),
            *(half(dtype, 2048, True) for dtype in HALF),
        ]
    else:
        chosen = [
            *(
                square(time, batch, 64, causal, backward)
                for backward in both
                for causal in both
                for time in (512, 2048, 4096)
                for batch in (1, 8)
            ),
            *(square(2048, 1, size, causal, backward) for size in (32, 128) for backward in both for causal in both),
            *(lengths(8, 1024, backward) for backward in both),
            *(decode(batch, 1024) for batch in (1, 8, 32)),
            decode(1, 1024, repeat=1),
            *(decode(8, 1024, dtype=dtype) for dtype in HALF),
            *(half(dtype, 2048, causal) for dtype in HALF for causal in both),
            # The overhead of a short call.
            *(square(time, 1, 64, False, False) for time in (16, 128)),
        ]
    return chosen


if __name__ == "__main__":
    compare.main(__doc__, CONTENDERS, cases, __file__)
