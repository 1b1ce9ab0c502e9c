"""Attention: `ikelos.kernels.attention` beside Keras, Keras under XLA, PyTorch, and itself under XLA.

    python benchmarks/attention.py [--quick] [--torch-python PATH] [--json PATH] [--plot PATH]
    python benchmarks/attention.py --cases 'causal T=S=2048' --peers PyTorch

`compare.py` explains the options and the table. All of it takes about 20 minutes, `--quick` less than 4.

Inputs are `[B,T,N,H]`, N = 8, in a `tf.function`. Keras computes what its `MultiHeadAttention` does,
`keras.ops.dot_product_attention`; PyTorch runs `scaled_dot_product_attention` on the layout it likes best, `[B,N,T,H]`.
Useful FLOPs are 4 B N T S H forward and 2.5 times that backward, half of it causal, and of lengths only the pairs
within them. Decoding is 16 calls in a row, each of which takes the output of the last as its query: TensorFlow runs
such a loop as one graph, PyTorch from Python. Beside "Ikelos under XLA" stands the difference where a call is too short
for the goal.
"""

import compare
import numpy as np
from compare import Goal
from workers import Contender

HEADS = 8
KERAS, KERAS_XLA, PYTORCH, XLA = "Keras", "Keras under XLA", "PyTorch", "Ikelos under XLA"
# A call of more takes two cores a second.
MOST_FLOPS = 2e11
# Stock attention holds several arrays of [B,N,T,S] at once; more elements than this may not fit into memory.
MOST_PAIRS = 3e8
WITHIN_A_TENTH = Goal(most=1.1, above_ms=2.0)  # of a call


def arguments(batch, queries, keys, size=64, **others):
    """Of a case: everything that `inputs` and the contenders ask for."""
    defaults = {"causal": False, "backward": False, "lengths": False, "repeat": 1, "dtype": "float32"}
    return {"batch": batch, "queries": queries, "keys": keys, "size": size, **defaults, **others}


def inputs(case):
    """Query, key, value, gradient of the output, and lengths of queries and keys (None without)."""
    draw = np.random.default_rng(0)
    long, short = ([case["batch"], case[axis], HEADS, case["size"]] for axis in ("queries", "keys"))
    query, key, value, output_grad = (draw.standard_normal(s, np.float32) for s in (long, short, short, long))
    if not case["lengths"]:
        return query, key, value, output_grad, None
    lengths = [draw.integers(0, case[axis] + 1, case["batch"], np.int32) for axis in ("queries", "keys")]
    output_grad *= (np.arange(case["queries"]) < lengths[0][:, None])[..., None, None]
    return query, key, value, output_grad, lengths


def useful_flops(case):
    pairs = case["batch"] * case["queries"] * case["keys"] / (2 if case["causal"] else 1)
    if case["lengths"]:
        query_lengths, key_lengths = inputs(case)[-1]
        pairs = float(query_lengths.astype(np.int64) @ key_lengths)
    return 4 * pairs * HEADS * case["size"] * (3.5 if case["backward"] else 1) * case["repeat"]


def within_lengths(case, arrays):
    """The output without the queries that ours leaves out, which other libraries give something for."""
    lengths = inputs(case)[-1]
    if lengths is not None:
        seen = (np.arange(case["queries"]) < lengths[0][:, None]) & (lengths[1] > 0)[:, None]
        arrays[0] = np.where(seen[..., None, None], arrays[0], 0)
    return arrays


def tensorflow(attend, jit_compile):
    """A contender from `attend(query, key, value, causal, lengths)`."""

    def prepare(case):
        import tensorflow as tf

        *arrays, lengths = inputs(case)
        query, key, value, output_grad = (tf.cast(x, case["dtype"]) for x in arrays)
        lengths = None if lengths is None else [tf.constant(x) for x in lengths]

        @tf.function(autograph=False, jit_compile=jit_compile)
        def run(query, key, value, output_grad, lengths):
            with tf.GradientTape() as tape:
                tape.watch([query, key, value])
                output = query
                for _ in range(case["repeat"]):
                    output = attend(output, key, value, case["causal"], lengths)
            if not case["backward"]:
                return [output]
            return [output, *tape.gradient(output, [query, key, value], output_grad)]

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

    def call():
        with torch.set_grad_enabled(case["backward"]):
            output = query
            for _ in range(case["repeat"]):
                output = scaled_dot_product_attention(output, key, value, attn_mask=mask, is_causal=case["causal"])
            return [output, *torch.autograd.grad(output, wanted, output_grad)] if case["backward"] else [output]

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


def case(name, arguments, peers, tolerance=1e-4):
    return compare.Case(name, arguments, peers, useful_flops(arguments), tolerance)


def square(time, batch, size, causal, backward):
    """T = S, with the goals of the sizes that have some."""
    peers = {PYTORCH: None, compare.SGEMM: None}
    if batch * HEADS * time**2 < MOST_PAIRS:
        peers[KERAS] = None
        if time <= 2048 and batch == 1:
            peers[KERAS_XLA] = None
    peers[XLA] = WITHIN_A_TENTH
    if size == 64 and time >= 512:
        peers[PYTORCH] = Goal(1.2 if backward else 1.3 if causal else 1.15)
    if size == 64 and time == 2048:
        peers[compare.SGEMM] = Goal(0.7 if causal else 0.8)
        if backward:
            peers[KERAS] = Goal(2.9 if causal else 1.7)
    kind = f"{'forward+backward' if backward else 'forward'} {'causal' if causal else 'full'}"
    return case(
        f"{kind} T=S={time} B*N={batch * HEADS} H={size}",
        arguments(batch, time, time, size, causal=causal, backward=backward),
        peers,
    )


def lengths(batch, time, backward):
    goal = None if backward else Goal(2.5)
    return case(
        f"{'forward+backward' if backward else 'forward'} random lengths T=S={time} B*N={batch * HEADS} H=64",
        arguments(batch, time, time, lengths=True, backward=backward),
        {PYTORCH: goal, compare.SGEMM: None, KERAS: None, XLA: WITHIN_A_TENTH},
    )


def decode(batch, keys):
    return case(
        f"decode T=1 S={keys} B={batch} N={HEADS} H=64, 16 in a row",
        arguments(batch, 1, keys, repeat=16),
        {PYTORCH: Goal(1.2), KERAS: None, XLA: Goal(most=1.1, above_ms=16 * 2.0)},
    )


def bfloat16(time, causal):
    return case(
        f"forward {'causal' if causal else 'full'} T=S={time} B*N={HEADS} H=64 bfloat16",
        arguments(1, time, time, causal=causal, dtype="bfloat16"),
        {PYTORCH: None, compare.SGEMM: None},
        tolerance=2e-2,  # 8 bits, rounded at other places
    )


def cases(effort):
    both = (False, True)
    if effort == "smoke":
        chosen = [
            square(40, 1, 32, causal=True, backward=True),
            lengths(2, 24, False),
            decode(1, 16),
            bfloat16(16, True),
        ]
    elif effort == "quick":
        chosen = [
            *(square(time, 1, 64, causal, backward) for time in (512, 2048) for causal in both for backward in both),
            square(512, 8, 64, True, True),
            square(4096, 1, 64, True, False),
            lengths(8, 1024, False),
            decode(1, 1024),
            decode(8, 1024),
            bfloat16(2048, True),
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
            *(bfloat16(2048, causal) for causal in both),
            # What a short call costs besides its work.
            *(square(time, 1, 64, False, False) for time in (16, 128)),
        ]
    return [case for case in chosen if case.flops < MOST_FLOPS]


if __name__ == "__main__":
    compare.main(__doc__, CONTENDERS, cases, __file__)
