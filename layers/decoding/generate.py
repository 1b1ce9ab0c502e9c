"""`generate`: decodes one token after another, in the graph."""

import contextlib

import tensorflow as tf

from ikelos.kernels import in_place
from ikelos.layers.decoding.rows import integers, longest_of, while_loop, write


def generate(model, prompts, prompt_lengths, lengths, choose, end_id, padding_id=0, until=None):
    """Continues prompts of unequal length.

    A row ends after `lengths` tokens or at its first `end_id`; the loop ends when all rows have ended. The result of a
    row does not depend on the other rows, provided that `choose` treats each row separately.

    Args:
        model: A model with `start(tokens, lengths, capacity)` and `advance(tokens, state)` like
            `ikelos.layers.TransformerLanguageModel`. An `advance` that is marked by
            `ikelos.kernels.in_place.consumes_state` may update a state in place, whose sizes are not checked again.
        prompts: int `[B,P]`, padded at the end.
        prompt_lengths: int `[B]`, each at least 1.
        lengths: int `[B]`, each at least 0: largest number of tokens to add, including an end token.
        choose: Function from logits float32 `[B,V]`, the step (an int32 scalar) and the tokens written before it (int32
            `[B, max(lengths)]`) to tokens int32 `[B]`: `greedy`, the result of `sampling`, or a `chain`.
        end_id: Id of the token that ends a row. It is not returned.
        padding_id: Id that follows the end of a row. It must be within the vocabulary, because the model reads it.
        until: Function from the number of tokens that each row has written (an int32 scalar) and these tokens (int32
            `[B, max(lengths)]`, padded behind them) to the rows that end there, bool `[B]`. None ends no row.

    Returns:
        The new tokens, int32 `[B, max(lengths)]`.

    Example:

    >>> import tensorflow as tf
    >>> from ikelos.layers.decoding import greedy
    >>> class Counting:  # After each token comes the next larger one.
    ...     def start(self, tokens, lengths, capacity):
    ...         return self.advance(tf.gather(tokens, lengths - 1, batch_dims=1), ())
    ...     def advance(self, tokens, state):
    ...         return tf.one_hot(tokens + 1, 10), state
    >>> prompts, prompt_lengths, lengths = tf.constant([[3, 4], [7, 0]]), tf.constant([2, 1]), tf.constant([3, 5])
    >>> generate(Counting(), prompts, prompt_lengths, lengths, greedy, end_id=9).numpy()
    array([[5, 6, 7, 0, 0],
           [8, 0, 0, 0, 0]], dtype=int32)
    """
    prompts, prompt_lengths, lengths = integers(prompts, prompt_lengths, lengths)
    longest = longest_of(lengths)
    logits, state = model.start(prompts, prompt_lengths, tf.shape(prompts)[1] + longest)
    consumes_state = getattr(model.advance, "consumes_state", False)
    if consumes_state:
        state = in_place.owned(state)

    def advance(tokens, state):
        with in_place.updates_in_place() if consumes_state else contextlib.nullcontext():
            return model.advance(tokens, state)

    def add(step, ended, logits, written):
        """Returns the step that follows, the rows that have ended, their last tokens, and all that was written."""
        tokens = choose(logits, step, written)
        ended |= tokens == end_id
        tokens = tf.where(ended, padding_id, tokens)
        written = write(written, step, tokens)
        step += 1
        ended |= lengths <= step
        if until is not None:
            ended |= until(step, written)
        return step, ended, tokens, written

    def running(step, ended, *_):
        return tf.reduce_any(~ended)

    def go_on(step, ended, tokens, written, state):
        # Rows that have ended still read padding. Their results are dropped and affect no other row.
        logits, state = advance(tokens, state)
        step, ended, tokens, written = add(step, ended, logits, written)
        # The next step may overwrite what this one reads, even if its tokens do not depend on these logits.
        with tf.control_dependencies([logits]):
            tokens = tf.identity(tokens)
        return step, ended, tokens, written, state

    # At least one column, because `choose` may look at the last token.
    written = tf.fill([tf.shape(prompts)[0], tf.maximum(longest, 1)], padding_id)
    # The first token is chosen before the loop, so that the loop needs no condition around its last `advance`.
    begin = *add(tf.constant(0), lengths <= 0, logits, written), state
    *_, written, _ = while_loop(running, go_on, begin)
    return written[:, :longest]
