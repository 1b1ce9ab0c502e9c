"""Decoding of connectionist temporal classification (CTC), in the graph: greedy, and by prefix beam search."""

from typing import NamedTuple

import tensorflow as tf

from ikelos.layers.decoding.rows import column, integers, longest_of, reorder_beams, repeat_rows, while_loop

_IMPOSSIBLE = float("-inf")


class _Beams(NamedTuple):
    """The prefixes of each row, K of them, the best first.

    Places that are not filled have a log-probability of minus infinity.
    """

    key: tf.Tensor  # int64 [B,K], hash of the prefix
    parent: tf.Tensor  # int64 [B,K], hash of the prefix without its last token
    last: tf.Tensor  # int32 [B,K], the last token; the blank for empty prefixes
    blank: tf.Tensor  # float32 [B,K], log-probability of the prefix's paths that end with a blank
    token: tf.Tensor  # float32 [B,K], the same for paths that end with the last token
    bonus: tf.Tensor  # float32 [B,K], weighted log-probability of the language model, and the bonus of the tokens
    following: tf.Tensor  # float32 [B,K,V], the part of the language model in what each next token would add to `bonus`


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
    return _without_blanks(tf.where(kept, best, blank_id), frames, blank_id)


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

    The score of a text is `log p(text | frames) + language_model_weight * log p(text) + token_bonus * n`, where n is
    the number of its tokens. The first term sums over all paths that give the text, as far as their prefixes stay in
    the beam: two paths that give the same prefix are joined. The last two terms count for a prefix as soon as it is
    written, so that they also decide which prefixes stay. With enough beams the search is exact.

    The result of a row does not depend on the other rows, but for rounding in the language model, which reads the
    beams of all rows together. XLA cannot compile a search with a language model.

    Args:
        logits: Floats `[B,T,V]`.
        lengths: int `[B]`, number of frames of each row. A row without frames has one result, the empty text.
        num_beams: Number of prefixes in the beam of a row.
        blank_id: Id of the blank, which is no token of a text.
        num_results: Number of texts to return, at most `num_beams`.
        language_model: A model with `start(tokens, lengths, capacity)` and `advance(tokens, state)` like
            `ikelos.layers.LSTMLanguageModel`, with the same ids as `logits`. Its state is any nest of tensors whose
            first axis is the batch. After each frame it is advanced by the beams that have written a token. Its
            probability of the blank does not count, so the blank can have the id of its padding.
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
    logits = tf.cast(logits, tf.float32)
    batch, size = tf.shape(logits)[0], tf.shape(logits)[2]
    # A row that has ended reads blanks of probability 1, which change nothing.
    blank = tf.math.log(tf.one_hot(blank_id, size))
    valid = tf.sequence_mask(lengths, tf.shape(logits)[1])
    frames = tf.transpose(tf.where(valid[..., None], tf.nn.log_softmax(logits), blank), [1, 0, 2])
    weight, token_bonus = (column(x, tf.float32) for x in (language_model_weight, token_bonus))

    def weighted(logits, weights):
        """Returns log-probabilities, times the weights `[B*K,1]`."""
        log_probabilities = tf.nn.log_softmax(tf.cast(logits, tf.float32))
        # Not a plain product, because 0 times minus infinity is not a number.
        return tf.math.multiply_no_nan(log_probabilities, weights * tf.ones_like(log_probabilities))

    if language_model is None:
        state = ()
        following = tf.zeros([batch * num_beams, size])
    else:
        begin = tf.fill([batch, 1], begin_id)
        start = language_model.start(begin, tf.ones([batch], tf.int32), 1 + longest_of(lengths))
        _check_size(start[0], logits)
        first, state, weight = repeat_rows((*start, tf.broadcast_to(weight, [batch, 1])), num_beams)
        following = weighted(first, weight)

    def running(step, *_):
        return step < longest_of(lengths)

    def add(step, beams, state, history):
        beams, parents, tokens = _extended(beams, frames[step], blank_id, token_bonus)
        history = history.write(step, parents * size + tokens)
        if language_model is not None:
            # Copied: beams share memory, as in `beams`, only if all of a row advance together.
            state = reorder_beams(state, parents, num_beams)
            # Most beams write nothing in most frames, so the language model reads the others alone.
            tokens = tf.reshape(tokens, [-1])
            written = tf.where(tokens != blank_id)

            def advanced():
                some = tf.nest.map_structure(lambda x: tf.gather_nd(x, written), (tokens, state, weight))
                logits, new = language_model.advance(*some[:2])
                following = tf.reshape(beams.following, [-1, size])
                return tf.nest.map_structure(
                    lambda x, y: tf.tensor_scatter_nd_update(x, written, y),
                    (following, state),
                    (weighted(logits, some[2]), new),
                )

            def unchanged():
                return tf.reshape(beams.following, [-1, size]), state

            following, state = tf.cond(tf.size(written) > 0, advanced, unchanged)
            beams = beams._replace(following=tf.reshape(following, tf.shape(beams.following)))
        return step + 1, beams, state, history

    impossible = tf.fill([batch, num_beams], _IMPOSSIBLE)
    beams = _Beams(
        key=tf.zeros([batch, num_beams], tf.int64),
        parent=tf.ones([batch, num_beams], tf.int64),
        last=tf.fill([batch, num_beams], blank_id),
        # A row starts with the empty prefix alone.
        blank=tf.concat([tf.zeros([batch, 1]), impossible[:, 1:]], axis=1),
        token=impossible,
        bonus=tf.zeros([batch, num_beams]),
        following=tf.reshape(following, [batch, num_beams, size]),
    )
    history = tf.TensorArray(tf.int32, tf.shape(frames)[0], element_shape=[None, num_beams])
    steps, beams, _, history = while_loop(running, add, (0, beams, state, history))
    scores = _log_add(beams.blank, beams.token) + beams.bonus
    if end_id is not None:
        scores += beams.following[..., end_id]
    scores, places = tf.math.top_k(scores, num_results)
    tokens = _traced_back(history, steps, places, size, blank_id)
    tokens = tf.where(scores[..., None] == _IMPOSSIBLE, blank_id, tokens)
    return _without_blanks(tokens, tf.shape(frames)[0], blank_id), scores


def _extended(beams, frame, blank_id, token_bonus):
    """Returns the beams after one more frame.

    Args:
        beams: The beams before it.
        frame: Log-probabilities of the classes, `[B,V]`.
        blank_id: Id of the blank.
        token_bonus: `[1,1]` or `[B,1]`.

    Returns:
        The new beams, whose `following` is that of the beams they come from; the places of these beams, `[B,K]`; and
        the tokens that were written, `[B,K]`, the blank for none.
    """
    num_beams, size = tf.shape(beams.last)[1], tf.shape(frame)[1]
    either = _log_add(beams.blank, beams.token)
    # The prefix stays as it is: after a blank, or after a repetition of its last token.
    repeated = tf.gather(frame, beams.last, batch_dims=1)
    blank, token = either + frame[:, blank_id, None], beams.token + repeated
    # The prefix is extended by a token; by its last token only after a blank.
    is_last = tf.range(size) == beams.last[..., None]
    longer = tf.where(is_last, beams.blank[..., None], either[..., None]) + frame[:, None]

    # Prefix `j` is also reached from prefix `i`, if `j` is `i` and one more token: both paths are joined. Unequal
    # prefixes have the same hash in fewer than one of 10 ** 14 searches with 16 beams and 300 frames.
    is_parent = (beams.key[:, :, None] == beams.parent[:, None]) & (either > _IMPOSSIBLE)[:, None]
    before = tf.where(beams.last[:, :, None] == beams.last[:, None], beams.blank[:, :, None], either[:, :, None])
    # No prefix has two parents in the beam, so the largest is the only one.
    joined = tf.reduce_max(tf.where(is_parent, before, _IMPOSSIBLE), axis=1) + repeated
    token = _log_add(token, joined)
    is_joined = tf.matmul(tf.cast(is_parent, tf.float32), tf.cast(is_last, tf.float32)) > 0

    gained = beams.following + (beams.bonus + token_bonus)[..., None]
    stays = (_log_add(blank, token) + beams.bonus)[..., None]
    scores = tf.where(is_joined, _IMPOSSIBLE, longer + gained)
    scores = tf.concat([scores[..., :blank_id], stays, scores[..., blank_id + 1 :]], axis=-1)
    scores, places = tf.math.top_k(tf.reshape(scores, [tf.shape(frame)[0], num_beams * size]), num_beams)
    parents, tokens = places // size, places % size
    dead = scores == _IMPOSSIBLE
    tokens = tf.where(dead, blank_id, tokens)
    is_same = tokens == blank_id

    def of_parent(x):
        return tf.gather(x, parents, batch_dims=1)

    def of_place(x):
        return tf.gather(tf.reshape(x, [tf.shape(x)[0], num_beams * size]), places, batch_dims=1)

    key = of_parent(beams.key)
    chosen = _Beams(
        key=tf.where(is_same, key, _hashed(key, tokens)),
        parent=tf.where(is_same, of_parent(beams.parent), key),
        last=tf.where(is_same, of_parent(beams.last), tokens),
        blank=tf.where(is_same & ~dead, of_parent(blank), _IMPOSSIBLE),
        token=tf.where(dead, _IMPOSSIBLE, tf.where(is_same, of_parent(token), of_place(longer))),
        bonus=tf.where(is_same, of_parent(beams.bonus), of_place(gained)),
        following=of_parent(beams.following),
    )
    return chosen, parents, tokens


def _hashed(key, tokens):
    """Returns the hashes of prefixes with hashes `key`, int64, that are extended by `tokens`."""
    # An odd factor and a shift to the lower bits, both of which lose nothing, as in SplitMix64 (Steele et al. 2014).
    key = (key + tf.cast(tokens, tf.int64) + 1) * -0x61C8864680B583EB
    return tf.bitwise.bitwise_xor(key, tf.bitwise.right_shift(key, tf.constant(32, tf.int64)))


def _traced_back(history, steps, places, size, blank_id):
    """Returns what each frame wrote into the beams that are at `places [B,R]` in the end, int32 `[B,R,steps]`."""

    def step(step, places, written):
        entry = tf.gather(history.read(step), places, batch_dims=1)
        return step - 1, entry // size, written.write(step, entry % size)

    written = tf.TensorArray(tf.int32, steps, element_shape=places.shape)
    *_, written = while_loop(lambda step, *_: step >= 0, step, (steps - 1, places, written))
    shape = tf.concat([[steps], tf.shape(places)], axis=0)
    return tf.transpose(tf.cond(steps > 0, written.stack, lambda: tf.fill(shape, blank_id)), [1, 2, 0])


def _without_blanks(classes, width, blank_id):
    """Returns rows `[...,T]` whose blanks are moved to the end, padded with blanks to `[...,width]`."""
    # A stable sort keeps the tokens in their order.
    order = tf.argsort(tf.cast(classes == blank_id, tf.int32), axis=-1, stable=True)
    tokens = tf.gather(classes, order, batch_dims=len(classes.shape) - 1)
    padding = [[0, 0]] * (len(classes.shape) - 1) + [[0, width - tf.shape(tokens)[-1]]]
    return tf.pad(tokens, padding, constant_values=blank_id)


def _log_add(a, b):
    """Returns the logarithm of the sum of two exponentials, each of which may be 0."""
    largest = tf.maximum(a, b)
    shift = tf.where(largest == _IMPOSSIBLE, 0.0, largest)
    return tf.math.log(tf.exp(a - shift) + tf.exp(b - shift)) + shift


def _check_size(first, logits):
    ours, theirs = tf.convert_to_tensor(logits).shape[-1], first.shape[-1]
    if None not in (ours, theirs) and ours != theirs:
        raise ValueError(
            f"`language_model` must have as many tokens as `logits` have classes, {ours}. Received: {theirs} tokens"
        )
