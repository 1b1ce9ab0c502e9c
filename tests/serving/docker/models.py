"""Exports the models that `test_server.py` asks a server for, below the folder that is the argument.

`scores` has two versions with different weights and ops of TF Text; `lm` is an untrained language model.
"""

import pathlib
import sys

import keras
import tensorflow as tf
import tensorflow_text

from ikelos.layers import TransformerLanguageModel
from ikelos.pipelines.text import signatures, stepwise
from ikelos.pipelines.text.vocabulary.byte import ByteVocabulary
from ikelos.serving import Signature, export


def scores(base: pathlib.Path, seed: int) -> None:
    keras.utils.set_random_seed(seed)
    words = keras.Input((), dtype="string", name="words")
    ids = keras.layers.StringLookup(vocabulary=["to", "be", "or", "not"])(words)
    model = keras.Model(words, keras.layers.Dense(3)(keras.layers.Embedding(5, 8)(ids)))
    tokenizer = tensorflow_text.WhitespaceTokenizer()
    text = tf.TensorSpec([None], tf.string)
    examples = [
        Signature(
            "serving_default",
            lambda words: {"scores": model(words)},
            {"words": text},
            {"words": ["to", "be", "other"]},
            "Scores of single words.",
        ),
        Signature(
            "first_word",
            lambda text: {"word": tokenizer.tokenize(text).to_tensor("", shape=[None, 1])[:, 0]},
            {"text": text},
            {"text": ["Who's there?", "Nay, answer me."]},
            "The first word of each text.",
        ),
        Signature(
            "repeated",
            lambda image, times: {"image_bytes": tf.strings.join([image, tf.strings.as_string(times)])},
            {"image": text, "times": tf.TensorSpec([None], tf.int64)},
            {"image": [b"\xff\x00", "é"], "times": [2**40, -1]},
            "Bytes that are no text.",
        ),
    ]
    export(base, model, examples)


def language_model(base: pathlib.Path) -> None:
    keras.utils.set_random_seed(1)
    vocabulary = ByteVocabulary()
    model = TransformerLanguageModel(vocabulary.size, context=32, num_layers=2, size=16, num_heads=2, hidden_size=32)
    model(tf.zeros((1, 4), tf.int32))
    examples = [
        signatures.score("serving_default", vocabulary, model, 16, 1000, "To be"),
        signatures.generate("generate", vocabulary, model, 16, 1000, 2, 8, "To be"),
        *stepwise.signatures(vocabulary, model, 16, 1000, "To be"),
    ]
    export(base, [model, vocabulary], examples)


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    scores(folder / "scores", 1)
    scores(folder / "scores", 2)
    language_model(folder / "lm")
