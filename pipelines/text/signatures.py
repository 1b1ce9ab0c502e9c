"""Serving signatures of language models, which take text and return text and likelihoods."""

import keras
import tensorflow as tf

from ikelos.pipelines.text.decoding import continue_text, prompt_tokens
from ikelos.pipelines.text.scoring import log_likelihood
from ikelos.pipelines.text.vocabulary import Vocabulary
from ikelos.pipelines.text.vocabulary.special import SPECIAL
from ikelos.serving import Bound, Signature

_TOP_TOKENS = 10
HOTTEST = tf.float32.max
"""Highest temperature: a higher one is infinite."""
TOP_P = Bound((1e-6, 1.0))
"""Bound of `top_p`."""


def score(
    name: str, vocabulary: Vocabulary, model: keras.Model, stride: int, max_bytes: int, example: str
) -> Signature:
    """Returns the signature of a text's likelihood and of the tokens that may follow it.

    Args:
        name: Name of the signature.
        vocabulary: Vocabulary of the model.
        model: Model with `start`, `advance` and `context`, such as `ikelos.layers.TransformerLanguageModel`.
        stride: Tokens counted by each window after the first.
        max_bytes: Most bytes of a text.
        example: Example of a text.
    """
    top = min(_TOP_TOKENS, vocabulary.size - SPECIAL)

    def function(text):
        tokens, lengths = prompt_tokens(vocabulary, text, model.context)
        logits, _ = model.start(tokens, lengths, tf.shape(tokens)[1])
        following = tf.nn.log_softmax(logits)
        # The top tokens leave out special tokens, which stand for no text; the full vector has them.
        best, ids = tf.math.top_k(following[:, SPECIAL:], top)
        names = vocabulary.decode(tf.reshape(ids + SPECIAL, [-1, 1]))
        encoded = vocabulary.encode(text)
        return {
            "log_likelihood": log_likelihood(model, encoded, model.context, stride, vocabulary.unknown_cost),
            "next_token_log_probabilities": following,
            "top_tokens": tf.reshape(names, [-1, top]),
            "top_log_probabilities": best,
        }

    return Signature(
        name=name,
        function=function,
        inputs={"text": tf.TensorSpec([None], tf.string)},
        example={"text": [example, ""]},
        doc="Log-likelihood of each text in nats, and log-probabilities of the token that follows it.",
        bounds={"text": Bound(max_bytes=max_bytes)},
    )


def generate(
    name: str,
    vocabulary: Vocabulary,
    model: keras.Model,
    max_length: int,
    max_bytes: int,
    max_stops: int,
    max_stop_bytes: int,
    example: str,
) -> Signature:
    """Returns the signature that continues prompts (see `decoding.continue_text`).

    Args:
        name: Name of the signature.
        vocabulary: Vocabulary of the model.
        model: Model as for `score`.
        max_length: Most tokens that a call may generate.
        max_bytes: Most bytes of a prompt.
        max_stops: Most stop strings of a row.
        max_stop_bytes: Most bytes of a stop string.
        example: Example of a prompt.
    """

    def function(prompt, length, temperature, top_k, top_p, seed, stop):
        text = continue_text(model, vocabulary, max_length, prompt, length, temperature, top_k, top_p, seed, stop)
        return {"text": text}

    length = min(80, max_length)
    return Signature(
        name=name,
        function=function,
        inputs={
            "prompt": tf.TensorSpec([None], tf.string),
            "length": tf.TensorSpec([None], tf.int32),
            "temperature": tf.TensorSpec([None], tf.float32),
            "top_k": tf.TensorSpec([None], tf.int32),
            "top_p": tf.TensorSpec([None], tf.float32),
            "seed": tf.TensorSpec([None], tf.int64),
            "stop": tf.TensorSpec([None, None], tf.string),
        },
        example={
            "prompt": [example, ""],
            "length": [length, length // 2],
            "temperature": [0.8, 0.0],
            "top_k": [0, 0],
            "top_p": [0.95, 1.0],
            "seed": [0, 1],
            "stop": [[""], [""]],
        },
        doc="Up to `length` new tokens after each prompt, without the prompt, or the text before the first of the "
        "strings in `stop`; rows with fewer are filled up with empty ones.",
        bounds={
            "prompt": Bound(max_bytes=max_bytes),
            "length": Bound((1, max_length)),
            "temperature": Bound((0.0, HOTTEST)),
            "top_k": Bound((0, vocabulary.size)),
            "top_p": TOP_P,
            "stop": Bound(max_bytes=max_stop_bytes, max_size=max_stops),
        },
    )
