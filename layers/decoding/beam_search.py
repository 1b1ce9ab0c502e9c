"""Beam search, in the graph."""

from typing import NamedTuple

import tensorflow as tf

from ikelos.layers.decoding.processors import allow, chain
from ikelos.layers.decoding.rows import column, integers, longest_of, loop, write

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
    """Looks for the likeliest continuations of prompts of unequal length.

    A hypothesis is complete at its `end_id` or after `lengths` tokens. Its score is log p / ((5 + n) / 6)^a (Wu et
    al. 2016, section 7, without their coverage), where p is its probability, n the number of its tokens, the
    end token included, and a the length penalty. Each step makes every continuation of the `num_beams`
    hypotheses, of which the `num_beams` likeliest count: those that are complete are kept apart, and the
    likeliest of the others take their places. So no place in the beam is lost to a hypothesis that ended early,
    and one beam without a length penalty is `greedy`.

    A row ends at its length, or as soon as nothing that it could still write would score better than what it
    has: no log probability rises with a further token. What a row becomes does not depend on the other rows.

    Args:
        model: Has `start(tokens, lengths, capacity)` and `advance(tokens, state)` as
            `ikelos.layers.TransformerLanguageModel`; its state is any nest of tensors whose first axis is the
            batch, `B * num_beams` here.
        prompts: int `[B,P]`, padded at the end.
        prompt_lengths: int `[B]`, each at least 1.
        lengths: int `[B]`, each at least 0: the most tokens to add, an end token included.
        num_beams: How many hypotheses a row goes on with.
        end_id: Ends a hypothesis, and is not returned.
        padding_id: Stands behind a hypothesis's end; any token's id, which the model reads there.
        length_penalty: float32, one number or `[B]`: 0 compares probabilities, which favours short texts; Wu et
            al. found 0.6 to 0.7 best; 1 is nearly the mean over tokens.
        num_results: How many hypotheses to return, at most `num_beams`.
        process: Changes the logits `[B,V]` before their softmax: a function as for `ikelos.layers.decoding.chain`.
            It is called for each beam of all rows, so it need not know of beams.
        allowed: Which tokens are possible, as in `ikelos.layers.decoding.allow`. Probabilities stay those among
            all tokens: the search is for the likeliest of the allowed texts. (`process=allow(...)` would spread
            what is forbidden over the rest at each step, as sampling does, and prefer texts that are forced.) A
            hypothesis for which nothing is allowed is dropped.

    Returns:
        Tokens int32 `[B, num_results, max(lengths)]` and scores float32 `[B, num_results]`, the best first. Where
        there are fewer complete hypotheses the rest is padding, with a score of minus infinity.

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
        # Twice as many as there are beams, since one of each beam's can be its end.
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

        # With a log probability that can only fall, the penalty at one end of the range of lengths is the best.
        best = alive.scores[:, :1]
        bound = tf.maximum(penalised(best, step + 1), penalised(best, lengths[:, None]))
        unfinished &= tf.squeeze(~last & (bound > complete.scores[:, -1:]), axis=1)

        def go_on():
            rows = tf.range(batch)[:, None] * num_beams + tf.gather(beams, kept, batch_dims=1)
            reordered = tf.nest.map_structure(lambda x: tf.gather(x, tf.reshape(rows, [-1])), state)
            return model.advance(tf.reshape(tf.gather(tokens, kept, batch_dims=1), [-1]), reordered)

        logits, state = tf.cond(running(step, unfinished), go_on, lambda: (logits, state))
        return step, unfinished, logits, state, alive, complete

    start = model.start(prompts, prompt_lengths, tf.shape(prompts)[1] + longest)
    logits, state = tf.nest.map_structure(lambda x: tf.repeat(x, num_beams, axis=0), start)
    # One hypothesis to begin with, nothing written; complete where nothing is to be written.
    nothing = tf.where(lengths > 0, _IMPOSSIBLE, 0.0)
    *_, complete = loop(
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
    """Hypotheses without tokens, of which the first has the score and the others are impossible."""
    others = tf.fill([batch, number - 1], _IMPOSSIBLE)
    return _Hypotheses(tf.fill([batch, number, longest], padding_id), tf.concat([score[:, None], others], axis=1))


def _best(hypotheses, number):
    """The best ones in order, the first of equals first, and their places `[B,number]`."""
    scores, places = tf.math.top_k(hypotheses.scores, number)
    return _Hypotheses(tf.gather(hypotheses.tokens, places, batch_dims=1), scores), places


def _log_probabilities(logits, step, written, process, allowed):
    """Of each next token, float32 `[B,K,V]` for logits `[B*K,V]`; minus infinity where nothing is possible."""
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
    # Where all are impossible it would not be a number, and the order of those is not defined.
    return tf.where(logits == _IMPOSSIBLE, _IMPOSSIBLE, tf.nn.log_softmax(logits))
