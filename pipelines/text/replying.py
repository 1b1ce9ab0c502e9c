"""Replies to conversations in one graph: encoding the history, sampling replies, and choosing the best of them."""

import dataclasses
import functools
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from ikelos.layers import ReplyRanker
from ikelos.layers.decoding import allow, chain, generate, row_uniforms, sampling
from ikelos.layers.decoding.rows import repeat_rows
from ikelos.pipelines.text import turns
from ikelos.pipelines.text.decoding import writable
from ikelos.pipelines.text.signatures import HOTTEST, TOP_P
from ikelos.pipelines.text.turn_encoding import history_tokens, reply_tokens, vocabulary_size
from ikelos.pipelines.text.vocabulary import Vocabulary
from ikelos.pipelines.text.vocabulary.special import END, PAD
from ikelos.serving import Bound, Signature

_AT_ONCE = 8
"""Replies that are generated together."""


def reply(
    model: keras.Model,
    ranker: ReplyRanker,
    words: Vocabulary,
    history: tf.Tensor,
    temperature: tf.Tensor,
    top_p: tf.Tensor,
    seed: tf.Tensor,
    max_length: int,
    num_samples: int,
) -> dict[str, tf.Tensor]:
    """Samples replies and returns the one that the ranker scores best; a row of the result depends on its inputs only.

    Args:
        model: Language model of turns with `start`, `advance` and `context`.
        ranker: Ranker of the same tokens.
        words: Vocabulary of both.
        history: string `[B]`, as for `turn_encoding.history_tokens`.
        temperature: float32 `[B]`, at least 0 and finite; 0 takes the most likely token.
        top_p: float32 `[B]` in (0, 1].
        seed: int64 `[B]`.
        max_length: Most tokens of a reply.
        num_samples: Replies that are sampled.

    Returns:
        `reply`, string `[B]`, without line ends, and `score`, float32 `[B]`, that of the ranker. A reply is empty only
        if no sample has text.
    """
    tokens, lengths = history_tokens(words, history, model.context)
    uniforms = tf.reshape(row_uniforms(seed, num_samples * max_length), [-1, max_length])
    prompts, prompt_lengths, temperatures, shares = repeat_rows((tokens, lengths, temperature, top_p), num_samples)
    # Only tokens that stand for text may be written, and the end of the turn after at least one of them.
    size = vocabulary_size(words)
    ids, of_text = tf.range(size), tf.pad(writable(words), [[0, size - words.size]])
    choose = chain(
        allow(lambda step, _: of_text & ((ids != END) | (step > 0))),
        sampling(uniforms, temperatures, top_p=shares),
    )
    read_once = _ReadOnce(model, num_samples)
    written = generate(
        read_once, prompts, prompt_lengths, tf.fill([tf.size(prompt_lengths)], max_length), choose, END, PAD
    )
    text = words.decode(written)
    text = tf.reshape(tf.strings.strip(tf.strings.regex_replace(text, turns.SPACES, " ")), [-1, num_samples])
    scores = _scores(ranker, tokens, tf.reshape(written, [tf.shape(history)[0], num_samples, -1]))
    # Text of white space alone is no turn: a history ignores it, and the speakers would change their roles.
    is_worse = (text == "") & tf.reduce_any(text != "", axis=1, keepdims=True)
    best = tf.argmax(tf.where(is_worse, -np.inf, scores), axis=1)
    return {"reply": tf.gather(text, best, batch_dims=1), "score": tf.gather(scores, best, batch_dims=1)}


class _ReadOnce:
    """A language model for prompts of which each occurs several times in succession, which reads each of them once.

    With n-grams, reading takes some 30 bytes for each token of a prompt and each token of the vocabulary.
    """

    def __init__(self, model, times):
        self._model, self._times = model, times
        self.advance = model.advance

    def start(self, tokens, lengths, capacity):
        """Reads the prompts, int `[B,P]`, and returns the logits and the state of all rows."""
        found = self._model.start(tokens[:: self._times], lengths[:: self._times], capacity)
        return repeat_rows(found, self._times)


# Shared by all calls: samples are written each epoch, and tracing the loop takes longer than running it.
_reply = tf.function(reply, reduce_retracing=True, autograph=False)


def write(
    model: keras.Model,
    ranker: ReplyRanker,
    words: Vocabulary,
    histories: Sequence[str],
    temperature: float,
    top_p: float,
    max_length: int,
    num_samples: int,
) -> list[str]:
    """Returns replies to histories; the seed of each is its index. The arguments are those of `reply`."""
    written = []
    for first in range(0, len(histories), _AT_ONCE):
        some = histories[first : first + _AT_ONCE]
        seeds = tf.range(first, first + len(some), dtype=tf.int64)
        numbers = (tf.fill([len(some)], temperature), tf.fill([len(some)], top_p))
        found = _reply(model, ranker, words, tf.constant(some), *numbers, seeds, max_length, num_samples)
        written += [text.decode() for text in found["reply"].numpy()]
    return written


def rank(ranker: ReplyRanker, words: Vocabulary, history: tf.Tensor, replies: tf.Tensor, context: int) -> tf.Tensor:
    """Returns the ranker's scores of possible replies, float32 `[B,K]`.

    Args:
        ranker: Ranker of turns.
        words: Its vocabulary.
        history: string `[B]`, as for `turn_encoding.history_tokens`.
        replies: string `[B,K]`.
        context: Most tokens of a history or a reply that are read: the last ones of a history, the first ones of a
            reply.
    """
    tokens, _ = history_tokens(words, history, context)
    found, _ = reply_tokens(words, tf.reshape(replies, [-1]), context)
    return _scores(ranker, tokens, tf.reshape(found, [*tf.unstack(tf.shape(replies)), tf.shape(found)[1]]))


def reply_signature(
    model: keras.Model,
    ranker: ReplyRanker,
    words: Vocabulary,
    max_length: int,
    num_samples: int,
    max_bytes: int,
    example: tuple[str, float, float],
) -> Signature:
    """Returns the signature `serving_default` of `reply`.

    Args:
        model: As for `reply`.
        ranker: As for `reply`.
        words: As for `reply`.
        max_length: As for `reply`.
        num_samples: As for `reply`.
        max_bytes: Most bytes of a history.
        example: A history, a temperature and a top-p.
    """
    history, temperature, top_p = example
    return Signature(
        name="serving_default",
        function=functools.partial(reply, model, ranker, words, max_length=max_length, num_samples=num_samples),
        inputs={
            "history": tf.TensorSpec([None], tf.string),
            "temperature": tf.TensorSpec([None], tf.float32),
            "top_p": tf.TensorSpec([None], tf.float32),
            "seed": tf.TensorSpec([None], tf.int64),
        },
        example={
            "history": [history, ""],
            "temperature": [temperature, 0.0],
            "top_p": [top_p, 1.0],
            "seed": [0, 1],
        },
        doc=f"Reply of at most {max_length} tokens to each history, which has a turn in each line, the newest last; "
        "two speakers alternate.",
        bounds={"history": Bound(max_bytes=max_bytes), "temperature": Bound((0.0, HOTTEST)), "top_p": TOP_P},
    )


def rank_signature(
    ranker: ReplyRanker, words: Vocabulary, context: int, max_replies: int, max_bytes: int, example: str
) -> Signature:
    """Returns the signature `rank`.

    Args:
        ranker: As for `rank`.
        words: As for `rank`.
        context: As for `rank`.
        max_replies: Most replies to a history.
        max_bytes: Most bytes of a history or a reply.
        example: A history.
    """
    most = Bound(max_bytes=max_bytes)
    return Signature(
        name="rank",
        function=lambda history, replies: {"score": rank(ranker, words, history, replies, context)},
        inputs={
            "history": tf.TensorSpec([None], tf.string),
            "replies": tf.TensorSpec([None, None], tf.string),
        },
        example={"history": [example], "replies": [["Hello!", "See you."]]},
        doc="Score of each of some possible replies to each history; the larger, the better it fits.",
        bounds={"history": most, "replies": dataclasses.replace(most, max_size=max_replies)},
    )


def _scores(ranker, tokens, replies):
    histories = ranker.encode_history(tokens)
    flat = tf.reshape(replies, [-1, tf.shape(replies)[2]])
    vectors = tf.reshape(ranker.encode_reply(flat), [*tf.unstack(tf.shape(replies)[:2]), histories.shape[-1]])
    return ranker.scale * tf.reduce_sum(vectors * histories[:, None], axis=-1)
