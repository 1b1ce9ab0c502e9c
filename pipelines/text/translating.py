"""Translation in one graph: encoding the source, beam search, and decoding its tokens."""

import keras
import tensorflow as tf

from ikelos.layers.decoding import beam_search
from ikelos.pipelines.text.decoding import writable
from ikelos.pipelines.text.vocabulary import Vocabulary
from ikelos.pipelines.text.vocabulary.special import BEGIN, END, PAD


def translate(
    model: keras.Model,
    vocabulary: Vocabulary,
    text: tf.Tensor,
    max_source: int,
    max_length: int,
    num_beams: int,
    length_penalty: float,
) -> dict[str, tf.Tensor]:
    """Translates texts; each row of the result depends only on its own text.

    A translation has at most `max_length` tokens, and at most twice as many as its source and 10 more. That of an empty
    text is empty.

    Args:
        model: Model with `conditioned_on`, such as `ikelos.layers.TransformerTranslationModel`.
        vocabulary: Vocabulary of both sides.
        text: string `[B]`.
        max_source: Most tokens of a text.
        max_length: Most tokens of a translation.
        num_beams: Hypotheses in the beam.
        length_penalty: As in `ikelos.layers.decoding.beam_search`.

    Returns:
        `translation`, string `[B]`, and `log_probability`, float32 `[B]`, divided by the length penalty.

    Raises:
        tf.errors.InvalidArgumentError: When run, if a text has too many tokens.
    """
    ragged = vocabulary.encode(tf.strings.strip(text))
    lengths = tf.cast(ragged.row_lengths(), tf.int32)
    fits = tf.debugging.Assert(
        tf.reduce_all(lengths <= max_source),
        [f"`text` must have at most {max_source} tokens. Received texts of:", tf.reduce_max(lengths)],
    )
    with tf.control_dependencies([fits]):
        count = tf.shape(text)[0]
        source = tf.concat([ragged, tf.fill([count, 1], END)], axis=1).to_tensor(PAD)
    tokens, scores = beam_search(
        model.conditioned_on(source),
        tf.fill([count, 1], BEGIN),
        tf.ones([count], tf.int32),
        tf.where(lengths > 0, tf.minimum(2 * lengths + 10, max_length), 0),
        num_beams,
        END,
        padding_id=PAD,
        length_penalty=length_penalty,
        allowed=writable(vocabulary),
    )
    return {"translation": vocabulary.decode(tokens[:, 0]), "log_probability": scores[:, 0]}
