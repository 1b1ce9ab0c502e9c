"""Speech recognition in one graph: the network's classes of each frame, and the search for the likeliest text."""

import keras
import tensorflow as tf

from ikelos.layers.decoding import ctc_beam_search, ctc_greedy
from ikelos.pipelines.text.vocabulary import Vocabulary
from ikelos.pipelines.text.vocabulary.special import BEGIN, END, PAD, UNKNOWN


def recognize(
    model: keras.Model,
    language_model: keras.Model,
    vocabulary: Vocabulary,
    audio: tf.Tensor,
    length: tf.Tensor,
    num_beams: int,
    language_model_weight: float,
    token_bonus: float,
) -> dict[str, tf.Tensor]:
    """Writes down what is said; each row of the result depends only on its own recording.

    Args:
        model: Model such as `ikelos.layers.LSTMSpeechModel`.
        language_model: Model such as `ikelos.layers.LSTMLanguageModel`, with the same vocabulary.
        vocabulary: The vocabulary.
        audio: float32 `[B,L]` in [-1, 1].
        length: int32 `[B]`, the number of samples of each row.
        num_beams: As in `ikelos.layers.decoding.ctc_beam_search`.
        language_model_weight: As there; 0 leaves the language model out.
        token_bonus: As there.

    Returns:
        `text`, string `[B]`, and `score`, float32 `[B]`, that of `ikelos.layers.decoding.ctc_beam_search`: it has the
        language model and the bonus in it, so it is no log-probability. Without a whole frame of samples, the text is
        empty.
    """
    language = {}
    if language_model_weight:
        language = {"language_model": language_model, "begin_id": BEGIN, "end_id": END}
    tokens, scores = ctc_beam_search(
        logits(model, audio, length),
        model.num_frames(length),
        num_beams,
        blank_id=PAD,
        language_model_weight=language_model_weight,
        token_bonus=token_bonus,
        **language,
    )
    return {"text": vocabulary.decode(tokens[:, 0]), "score": scores[:, 0]}


def recognize_greedily(model: keras.Model, vocabulary: Vocabulary, audio: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Returns the texts, string `[B]`, of the likeliest class of each frame; arguments as in `recognize`."""
    tokens = ctc_greedy(logits(model, audio, length), model.num_frames(length), blank_id=PAD)
    return vocabulary.decode(tokens)


def logits(model: keras.Model, audio: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Returns the logits `[B,T,V]`, in which only blanks and tokens that stand for text are possible."""
    found = model({"audio": audio, "length": length}, training=False)
    never = tf.reduce_any(tf.range(found.shape[-1])[:, None] == [BEGIN, END, UNKNOWN], axis=-1)
    return tf.where(never, float("-inf"), found)
