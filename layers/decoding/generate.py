"""Decoding one token after another, in the graph."""

import tensorflow as tf


def generate(model, prompts, prompt_lengths, lengths, choose, end_id, padding_id=0):
    """Continues prompts of unequal length.

    A row ends after `lengths` tokens or at its first `end_id`, and the loop when every row has ended. What a
    row becomes does not depend on the other rows, as far as `choose` goes row by row.

    Args:
        model: Has `start(tokens, lengths, capacity)` and `advance(tokens, state)` as
            `ikelos.layers.TransformerLanguageModel`.
        prompts: int32 `[B,P]`, padded at the end.
        prompt_lengths: int32 `[B]`, each at least 1.
        lengths: int32 `[B]`, each at least 0: how many tokens to add.
        choose: Maps logits float32 `[B,V]` and the step (an int32 scalar) to tokens int32 `[B]`.
        end_id: Ends a row, and is not returned.
        padding_id: Stands behind a row's end.

    Returns:
        The new tokens, int32 `[B, max(lengths)]`.
    """
    longest = tf.reduce_max(tf.concat([lengths, [0]], axis=0))
    logits, state = model.start(prompts, prompt_lengths, tf.shape(prompts)[1] + longest)

    def running(step, ended, *_):
        return (step < longest) & tf.reduce_any(~ended)

    def add(step, ended, logits, state, outputs):
        tokens = choose(logits, step)
        ended |= tokens == end_id
        tokens = tf.where(ended, padding_id, tokens)
        # Rows past their end go on reading padding: their results are dropped, and they touch no other row.
        logits, state = model.advance(tokens, state)
        outputs = tf.tensor_scatter_nd_update(outputs, [[step]], tokens[None])
        return step + 1, ended | (lengths <= step + 1), logits, state, outputs

    # All padding from the start: steps that are never run are never written. Not a TensorArray, which cannot
    # be stacked when it is empty.
    outputs = tf.fill([longest, tf.shape(prompts)[0]], padding_id)
    *_, outputs = tf.while_loop(running, add, (0, lengths <= 0, logits, state, outputs))
    return tf.transpose(outputs)
