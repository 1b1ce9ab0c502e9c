"""Decoding of connectionist temporal classification (CTC), in the graph: greedy, and by prefix beam search."""

from typing import NamedTuple

import tensorflow as tf

from ikelos.layers.decoding.rows import column, integers, longest_of, while_loop, write

_IMPOSSIBLE = float("-inf")


class _Beams(NamedTuple):
    """The prefixes of each row, K of them, the best first.

    Places that are not filled have a score of minus infinity.
    """

    tokens: tf.Tensor  # int32 [B,K,T], blanks after the end
    counts: tf.Tensor  # int32 [B,K], number of tokens
    last: tf.Tensor  # int32 [B,K], the last token; the blank for empty prefixes
    blank: tf.Tensor  # float32 [B,K], log-probability of the prefix's paths that end with a blank
    token: tf.Tensor  # float32 [B,K], the same for paths that end with the last token
    bonus: tf.Tensor  # float32 [B,K], weighted log-probability of the language model, and the bonus of the tokens
    following: tf.Tensor  # float32 [B,K,V], what each next token would add to `bonus`


def ctc_greedy(logits, lengths, blank_id=0):
    """Takes the likeliest class of each frame, joins equal neighbours and drops blanks (Graves et al. 2006, section
    3.2.1, best path decoding).

    The result of a row does not depend on the other rows.

    Args:
        logits: Floats `[B,T,V]`; of equally likely classes, the first counts.
        lengths: int `[B]`, number of frames of each row, which may be 0.
        blank_id: Id of the blank.

    Returns:
        Tokens int32 `[B,T]`, with blanks after the end of a row.

    Example:

    >>> import tensorflow as tf
    >>> frames = tf.constant([[1, 1, 0, 1, 2, 2]])
    >>> ctc_greedy(tf.one_hot(frames, 3), tf.constant([6])).numpy()
    array([[1, 1, 2, 0, 0, 0]], dtype=int32)
    """
    (lengths,) = integers(lengths)
    best = tf.argmax(logits, axis=-1, output_type=tf.int32)
    frames = tf.shape(best)[1]
    before = tf.concat([tf.fill([tf.shape(best)[0], 1], blank_id), best[:, :-1]], axis=1)[:, :frames]
    kept = (best != blank_id) & (best != before) & tf.sequence_mask(lengths, frames)
    tokens = tf.RaggedTensor.from_row_lengths(
        tf.boolean_mask(best, kept), tf.reduce_sum(tf.cast(kept, tf.int32), axis=1)
    ).to_tensor(blank_id)
    return tf.pad(tokens, [[0, 0], [0, frames - tf.shape(tokens)[1]]], constant_values=blank_id)


def ctc_beam_search(
    logits,
    lengths,
    num_beams,
    *,
    blank_id=0,
    num_results=1,
    language_model=None,
    begin_id=None,
    end_id=None,
    language_model_weight=1.0,
    token_bonus=0.0,
):
    """Searches for the likeliest texts by prefix beam search (Hannun et al. 2014, section 2), with an optional language
    model.

    The score of a text is `log p(text | frames) + language_model_weight * log p(text) + token_bonus * n`, where n is the
    number of its tokens. The first term sums over all paths that give the text, as far as their prefixes stay in the
    beam: two paths that give the same prefix are joined. The last two terms count for a prefix as soon as it is
    written, so that they also decide which prefixes stay. With enough beams the search is exact.

    The result of a row does not depend on the other rows. XLA cannot compile the loop if the language model's state
    changes its shape.

    Args:
        logits: Floats `[B,T,V]`.
        lengths: int `[B]`, number of frames of each row. A row without frames has one result, the empty text.
        num_beams: Number of prefixes in the beam of a row.
        blank_id: Id of the blank, which is no token of a text. The language model must know it as a token, for example
            as its padding, because it is called with blanks in rows that write nothing.
        num_results: Number of texts to return, at most `num_beams`.
        language_model: A model with `start(tokens, lengths, capacity)` and `advance(tokens, state)` like
            `ikelos.layers.LSTMLanguageModel`, with the same ids as `logits`. Its state is any nest of tensors whose
            first axis is the batch, here of size `B * num_beams`. It is advanced once for each frame.
        begin_id: Id of the token that the language model reads before the first; required with a language model.
        end_id: Id of the token with which the language model predicts the end of a text. If given, the probability of
            the end counts for complete texts.
        language_model_weight: float32, one number or `[B]`.
        token_bonus: float32, one number or `[B]`, which counters the preference of language models for short texts.

    Returns:
        Tokens int32 `[B,num_results,T]`, with blanks after the end, and scores float32 `[B,num_results]`, the best
        first. If there are fewer texts, the others are empty, with a score of minus infinity.

    Raises:
        ValueError: If `num_results` is not between 1 and `num_beams`, `begin_id` or `end_id` is given without a
            language model or `begin_id` is missing with one, or the language model has another number of tokens.

    Example:

    The likeliest path is blank, blank, with a probability of 0.36, but three paths give the text 1.

    >>> import tensorflow as tf
    >>> logits = tf.math.log([[[0.6, 0.4], [0.6, 0.4]]])
    >>> tokens, scores = ctc_beam_search(logits, tf.constant([2]), num_beams=4, num_results=2)
    >>> tokens.numpy().tolist(), tf.exp(scores).numpy().round(2)
    ([[[1, 0], [0, 0]]], array([[0.64, 0.36]], dtype=float32))
    """
    if not 1 <= num_results <= num_beams:
        raise ValueError(
            f"`num_results` must be between 1 and `num_beams`. Received: num_results={num_results}, "
            f"num_beams={num_beams}"
        )
    if (begin_id is None) != (language_model is None):
        raise ValueError(
            f"`begin_id` must be given with a language model, and only then. Received: begin_id={begin_id}, "
            f"language_model={language_model}"
        )
    if end_id is not None and language_model is None:
        raise ValueError(f"`end_id` must be None without a language model. Received: end_id={end_id}")
    (lengths,) = integers(lengths)
    frames = tf.nn.log_softmax(tf.cast(logits, tf.float32))
    batch, size = tf.shape(frames)[0], tf.shape(frames)[2]
    weight, token_bonus = (column(x, tf.float32)[..., None] for x in (language_model_weight, token_bonus))

    def by_beam(log_probabilities):
        """Returns the weighted log-probabilities of next tokens, `[B,K,V]`."""
        log_probabilities = tf.reshape(log_probabilities, [batch, num_beams, size])
        # Not a plain product, because 0 times minus infinity is not a number.
        return tf.math.multiply_no_nan(log_probabilities, weight * tf.ones_like(log_probabilities))

    if language_model is None:
        state = ()
        following = tf.zeros([batch, num_beams, size])
    else:
        begin = tf.fill([batch, 1], begin_id)
        first, state = language_model.start(begin, tf.ones([batch], tf.int32), 1 + longest_of(lengths))
        _check_size(first, logits)
        first, state = tf.nest.map_structure(lambda x: tf.repeat(x, num_beams, axis=0), (first, state))
        following = by_beam(tf.nn.log_softmax(tf.cast(first, tf.float32)))

    def running(step, *_):
        return step < longest_of(lengths)

    def add(step, beams, state):
        chosen, places, tokens = _extended(beams, frames[:, step], blank_id, token_bonus)
        goes_on = step < lengths
        written = (tokens != blank_id) & goes_on[:, None]
        beams = tf.nest.map_structure(lambda new, old: tf.where(_aligned(goes_on, new), new, old), chosen, beams)
        if language_model is not None:
            places = tf.where(goes_on[:, None], places, tf.range(num_beams))
            rows = tf.reshape(tf.range(batch)[:, None] * num_beams + places, [-1])
            state = tf.nest.map_structure(lambda x: tf.gather(x, rows), state)

            def advanced():
                changed = tf.reshape(written, [-1])
                logits, new = language_model.advance(tf.where(changed, tf.reshape(tokens, [-1]), blank_id), state)
                gained = by_beam(tf.nn.log_softmax(tf.cast(logits, tf.float32)))
                kept = tf.nest.map_structure(lambda x, y: tf.where(_aligned(changed, x), x, y), new, state)
                return tf.where(written[..., None], gained, beams.following), kept

            following, state = tf.cond(tf.reduce_any(written), advanced, lambda: (beams.following, state))
            beams = beams._replace(following=following)
        return step + 1, beams, state

    # A row starts with the empty prefix alone.
    start = tf.concat([tf.zeros([batch, 1]), tf.fill([batch, num_beams - 1], _IMPOSSIBLE)], axis=1)
    nothing = tf.fill([batch, num_beams], blank_id)
    beams = _Beams(
        tokens=tf.fill([batch, num_beams, tf.shape(frames)[1]], blank_id),
        counts=tf.zeros([batch, num_beams], tf.int32),
        last=nothing,
        blank=start,
        token=tf.fill([batch, num_beams], _IMPOSSIBLE),
        bonus=tf.zeros([batch, num_beams]),
        following=following,
    )
    _, beams, _ = while_loop(running, add, (0, beams, state))
    scores = _log_add(beams.blank, beams.token) + beams.bonus
    if end_id is not None:
        scores += beams.following[..., end_id]
    scores, places = tf.math.top_k(scores, num_results)
    tokens = tf.gather(beams.tokens, places, batch_dims=1)
    return tf.where(scores[..., None] == _IMPOSSIBLE, blank_id, tokens), scores


def _extended(beams, frame, blank_id, token_bonus):
    """Returns the beams after one more frame.

    Args:
        beams: The beams before it.
        frame: Log-probabilities of the classes, `[B,V]`.
        blank_id: Id of the blank.
        token_bonus: `[1,1,1]` or `[B,1,1]`.

    Returns:
        The new beams, whose `following` is that of the beams they come from; the places of these beams, `[B,K]`; and
        the tokens that were written, `[B,K]`, the blank for none.
    """
    num_beams, size = tf.shape(beams.last)[1], tf.shape(frame)[1]
    either = _log_add(beams.blank, beams.token)
    # The prefix stays as it is: after a blank, or after a repetition of its last token.
    blank = either + frame[:, None, blank_id]
    repeated = tf.gather(frame, beams.last, batch_dims=1)
    token = beams.token + repeated
    # The prefix is extended by a token; by its last token only after a blank.
    classes = tf.range(size)
    before = tf.where(classes == beams.last[..., None], beams.blank[..., None], either[..., None])
    longer = before + frame[:, None]

    # Prefix `j` is also reached from prefix `i`, if `j` is `i` and one more token: both paths are joined.
    used = tf.range(tf.reduce_max(tf.concat([tf.reshape(beams.counts, [-1]), [0]], axis=0)))
    tokens = beams.tokens[:, :, : tf.size(used)]
    parents = tf.where(used == beams.counts[..., None] - 1, blank_id, tokens)
    is_parent = tf.reduce_all(tokens[:, :, None] == parents[:, None], axis=3)
    alive = either > _IMPOSSIBLE
    is_parent &= (beams.counts > 0)[:, None] & alive[:, None] & alive[:, :, None]
    by_last = tf.gather(longer, tf.repeat(beams.last[:, None], num_beams, axis=1), axis=2, batch_dims=2)
    # No prefix has two parents in the beam, so the sum over the parents is the largest.
    token = _log_add(token, tf.reduce_max(tf.where(is_parent, by_last, _IMPOSSIBLE), axis=1))
    joined = is_parent[..., None] & (classes == beams.last[:, None, :, None])
    longer = tf.where(tf.reduce_any(joined, axis=2), _IMPOSSIBLE, longer)

    gained = beams.bonus[..., None] + beams.following + token_bonus
    stays = (_log_add(blank, token) + beams.bonus)[..., None]
    scores = tf.where(classes == blank_id, stays, longer + gained)
    scores, places = tf.math.top_k(tf.reshape(scores, [tf.shape(frame)[0], -1]), num_beams)
    parents, tokens = places // size, places % size
    stays, dead = tokens == blank_id, scores == _IMPOSSIBLE

    def taken(x):
        return tf.gather(x, parents, batch_dims=1)

    def taken_token(x):
        return tf.gather(tf.reshape(x, [tf.shape(x)[0], -1]), places, batch_dims=1)

    counts = taken(beams.counts)
    texts = taken(beams.tokens)
    chosen = _Beams(
        tokens=tf.where(stays[..., None], texts, write_at(texts, counts, tokens)),
        counts=counts + tf.cast(~stays, tf.int32),
        last=tf.where(stays, taken(beams.last), tokens),
        blank=tf.where(stays & ~dead, taken(blank), _IMPOSSIBLE),
        token=tf.where(dead, _IMPOSSIBLE, tf.where(stays, taken(token), taken_token(longer))),
        bonus=tf.where(stays, taken(beams.bonus), taken_token(gained)),
        following=taken(beams.following),
    )
    return chosen, parents, tokens


def write_at(texts, counts, tokens):
    """Returns `texts [B,K,T]` with `tokens [B,K]` in columns `counts [B,K]`."""
    return write(texts, counts[..., None], tokens)


def _log_add(a, b):
    """Returns the logarithm of the sum of two exponentials, each of which may be 0."""
    largest = tf.maximum(a, b)
    shift = tf.where(largest == _IMPOSSIBLE, 0.0, largest)
    return tf.math.log(tf.exp(a - shift) + tf.exp(b - shift)) + shift


def _aligned(rows, x):
    """Returns `rows [B]` with further axes of size 1, so that it broadcasts to `x [B,...]`."""
    return tf.reshape(rows, tf.concat([tf.shape(rows), tf.ones([tf.rank(x) - 1], tf.int32)], axis=0))


def _check_size(first, logits):
    ours, theirs = tf.convert_to_tensor(logits).shape[-1], first.shape[-1]
    if None not in (ours, theirs) and ours != theirs:
        raise ValueError(
            f"`language_model` must have as many tokens as `logits` have classes, {ours}. Received: {theirs} tokens"
        )
