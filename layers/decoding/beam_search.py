"""Beam search, in the graph."""

from typing import NamedTuple

import tensorflow as tf

from ikelos.layers.decoding import beams as beam_states
from ikelos.layers.decoding.processors import allow, chain
from ikelos.layers.decoding.rows import column, integers, longest_of, repeat_rows, while_loop, write

_IMPOSSIBLE = float("-inf")


class _Hypotheses(NamedTuple):
    tokens: tf.Tensor  # int32 [B,number,L]
    scores: tf.Tensor  # float32 [B,number]


def beam_search(
    model,
    prompts,
    prompt_lengths,
    lengths,
    num_beams,
    end_id,
    *,
    padding_id=0,
    length_penalty=0.0,
    num_results=1,
    process=None,
    allowed=None,
):
    """Searches for the likeliest continuations of prompts of unequal length.

    A hypothesis is complete at its `end_id` or after `lengths` tokens. Its score is log p / ((5 + n) / 6)^a (Wu et al.
    2016, section 7, without their coverage penalty), where p is its probability, n the number of its tokens, including
    the end token, and a the length penalty.

    Each step extends the `num_beams` hypotheses of a row by every token. Complete hypotheses among the `num_beams`
    likeliest are set aside as results, and the `num_beams` likeliest incomplete ones form the next beam. So complete
    hypotheses take no places in the beam, and a search with one beam and no length penalty equals `greedy`.

    A row ends at its length, or as soon as no continuation can score better than its results. A further
    token never raises the log-probability, which bounds the scores of continuations. The result of a row does not
    depend on the other rows.

    Args:
        model: A model with `start(tokens, lengths, capacity)` and `advance(tokens, state)` like
            `ikelos.layers.TransformerLanguageModel`. Its state is any nest of tensors whose first axis is the batch,
            here of size `B * num_beams`, of `KVCache`s, whose `rows` say which beam holds each slot, and of
            `MemoryCache`s, which keep their B rows.
        prompts: int `[B,P]`, padded at the end.
        prompt_lengths: int `[B]`, each at least 1.
        lengths: int `[B]`, each at least 0: largest number of tokens to add, including an end token.
        num_beams: Number of hypotheses in the beam of a row.
        end_id: Id of the token that ends a hypothesis. It is not returned.
        padding_id: Id that follows the end of a hypothesis. It must be within the vocabulary, because the model reads
            it.
        length_penalty: float32, one number or `[B]`. 0 compares probabilities, which favours short texts; Wu et al.
            found 0.6 to 0.7 best; 1 is close to the mean over tokens.
        num_results: Number of hypotheses to return, at most `num_beams`.
        process: Function that changes the logits `[B,V]` before the softmax, as in `ikelos.layers.decoding.chain`. It
            is called once for each beam, with the logits of all rows.
        allowed: The allowed tokens, as in `ikelos.layers.decoding.allow`. The probabilities are not renormalised over
            them, so the search finds the likeliest allowed texts. (With `process=allow(...)`, the probability of the
            forbidden tokens would be distributed over the allowed ones at each step, as in sampling, which favours
            texts with few choices.) A hypothesis that no allowed token can continue is dropped.

    Returns:
        Tokens int32 `[B, num_results, max(lengths)]` and scores float32 `[B, num_results]`, the best first. If there
        are fewer complete hypotheses, the others are padding with a score of minus infinity.

    Raises:
        ValueError: If `num_results` is not between 1 and `num_beams`.

    Example:

    >>> import tensorflow as tf
    >>> class Coin:  # 0 ends, 1 is heads, 2 is tails
    ...     def start(self, tokens, lengths, capacity):
    ...         return self.advance(tokens[:, 0], tf.zeros_like(tokens[:, 0]))
    ...     def advance(self, tokens, state):
    ...         return tf.repeat(tf.math.log([[0.1, 0.6, 0.3]]), len(tokens), axis=0), state + 1
    >>> tokens, scores = beam_search(
    ...     Coin(), tf.constant([[1]]), tf.constant([1]), tf.constant([2]), num_beams=3, end_id=0, num_results=2
    ... )
    >>> tokens.numpy().tolist(), tf.exp(scores).numpy().round(2)
    ([[[1, 1], [1, 2]]], array([[0.36, 0.18]], dtype=float32))
    """
    if not 1 <= num_results <= num_beams:
        raise ValueError(
            f"`num_results` must be between 1 and `num_beams`. Received: num_results={num_results}, "
            f"num_beams={num_beams}"
        )
    prompts, prompt_lengths, lengths = integers(prompts, prompt_lengths, lengths)
    batch, longest = tf.shape(prompts)[0], longest_of(lengths)
    exponent = column(length_penalty, tf.float32)

    def penalised(scores, length):
        return scores / ((5.0 + tf.cast(length, tf.float32)) / 6.0) ** exponent

    def running(step, unfinished, *_):
        return tf.reduce_any(unfinished)

    def add(step, unfinished, logits, state, alive, complete):
        scores = alive.scores[:, :, None] + _log_probabilities(logits, step, alive.tokens, process, allowed)
        vocabulary_size = tf.shape(scores)[2]
        # Twice the number of beams, because one continuation of each beam can be the end token.
        scores, places = tf.math.top_k(tf.reshape(scores, [batch, -1]), 2 * num_beams)
        beams, tokens = places // vocabulary_size, places % vocabulary_size
        ends = tokens == end_id
        texts = tf.gather(alive.tokens, beams, batch_dims=1)
        texts = write(texts, step, tf.where(ends, padding_id, tokens))

        step += 1
        last = (lengths <= step)[:, None]
        counts = (ends | last) & unfinished[:, None] & (tf.range(2 * num_beams) < num_beams)
        new = _Hypotheses(texts, tf.where(counts, penalised(scores, step), _IMPOSSIBLE))
        complete, _ = _best(tf.nest.map_structure(lambda *both: tf.concat(both, axis=1), complete, new), num_results)
        alive, kept = _best(_Hypotheses(texts, tf.where(ends, _IMPOSSIBLE, scores)), num_beams)

        # The log-probability cannot rise, so the best possible score is at the shortest or the longest length left.
        best = alive.scores[:, :1]
        bound = tf.maximum(penalised(best, step + 1), penalised(best, lengths[:, None]))
        unfinished &= tf.squeeze(~last & (bound > complete.scores[:, -1:]), axis=1)

        def go_on():
            reordered = beam_states.reorder(state, tf.gather(beams, kept, batch_dims=1), num_beams)
            return model.advance(tf.reshape(tf.gather(tokens, kept, batch_dims=1), [-1]), reordered)

        logits, state = tf.cond(running(step, unfinished), go_on, lambda: (logits, state))
        return step, unfinished, logits, state, alive, complete

    logits, state = model.start(prompts, prompt_lengths, tf.shape(prompts)[1] + longest)
    logits, state = repeat_rows(logits, num_beams), beam_states.split(state, num_beams)
    # A row starts with a single empty hypothesis, which is already complete if `lengths` is 0.
    nothing = tf.where(lengths > 0, _IMPOSSIBLE, 0.0)
    *_, complete = while_loop(
        running,
        add,
        (
            0,
            lengths > 0,
            logits,
            state,
            _empty(batch, num_beams, longest, padding_id, tf.zeros([batch])),
            _empty(batch, num_results, longest, padding_id, nothing),
        ),
    )
    return complete.tokens, complete.scores


def _empty(batch, number, longest, padding_id, score):
    """Returns `number` empty hypotheses per row: the first with `score [B]`, the others with minus infinity."""
    others = tf.fill([batch, number - 1], _IMPOSSIBLE)
    return _Hypotheses(tf.fill([batch, number, longest], padding_id), tf.concat([score[:, None], others], axis=1))


def _best(hypotheses, number):
    """Returns the best hypotheses, best first and ties in their original order, and their indices `[B,number]`."""
    scores, places = tf.math.top_k(hypotheses.scores, number)
    return _Hypotheses(tf.gather(hypotheses.tokens, places, batch_dims=1), scores), places


def _log_probabilities(logits, step, written, process, allowed):
    """Returns the log-probabilities of each next token, float32 `[B,K,V]`, for K beams and logits `[B*K,V]`.

    They are minus infinity for impossible tokens.
    """
    batch, num_beams = tf.shape(written)[0], tf.shape(written)[1]
    logits = tf.reshape(logits, [batch, num_beams, tf.shape(logits)[-1]])
    if process is None and allowed is None:
        return _log_softmax(logits)
    functions = [process, _log_softmax, None if allowed is None else allow(allowed)]
    function = chain(*(x for x in functions if x is not None))
    by_beam = tf.map_fn(
        lambda beam: function(beam[0], step, beam[1]),
        (tf.transpose(logits, [1, 0, 2]), tf.transpose(written, [1, 0, 2])),
        fn_output_signature=tf.float32,
    )
    return tf.transpose(by_beam, [1, 0, 2])


def _log_softmax(logits, *_):
    # If all tokens are impossible, log_softmax returns NaN, which has no defined order.
    return tf.where(logits == _IMPOSSIBLE, _IMPOSSIBLE, tf.nn.log_softmax(logits))
