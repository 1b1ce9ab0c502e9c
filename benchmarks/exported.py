"""Exports of the Transformer of `step.py`, for the benchmarks of serving."""

import functools
import pathlib
import tempfile

import step_transformer

PORTABLE, NATIVE = "portable", "native"
SCORE, GENERATE = "serving_default", "generate"
"""Signatures: the log-likelihood of each row of tokens, and greedy decoding without an end token."""
LONGEST = 128
"""Columns of the tokens that a call returns. A server merges no requests whose outputs have no fixed size."""


def signatures(case, model):
    import tensorflow as tf

    from ikelos.layers.decoding import generate, greedy
    from ikelos.serving import Signature

    def score(tokens):
        logits = model(tokens[:, :-1])
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tokens[:, 1:], logits)
        return {"log_likelihood": -tf.reduce_sum(losses, axis=1)}

    def write(tokens, length):
        prompt_lengths = tf.fill([tf.shape(tokens)[0]], tf.shape(tokens)[1])
        # The end token is outside the vocabulary, so that the model never writes it.
        written = generate(model, tokens, prompt_lengths, length, greedy, end_id=case["vocabulary"])
        padded = tf.pad(written, [[0, 0], [0, LONGEST - tf.shape(written)[1]]])
        return {"tokens": tf.ensure_shape(padded, [None, LONGEST])}

    tokens = tf.TensorSpec([None, None], tf.int32)
    length = tf.TensorSpec([None], tf.int32)
    example = [[1, 2, 3], [4, 5, 6]]
    return [
        Signature(SCORE, score, {"tokens": tokens}, {"tokens": example}, "Scores tokens."),
        Signature(
            GENERATE,
            write,
            {"tokens": tokens, "length": length},
            {"tokens": example, "length": [2, 2]},
            "Continues tokens.",
        ),
    ]


def export(case, flavour, base):
    """Writes the model of a case as the next version of a base path, and returns the version's path."""
    from ikelos import serving

    model = step_transformer.ikelos(case)
    return serving.export(base, model, signatures(case, model), flavour=flavour)


def library(flavour):
    """Returns the native library that a version of a flavour needs, or None."""
    from ikelos import kernels

    return kernels.status()["path"] if flavour == NATIVE else None


def stock_model(case, flavour):
    """Returns a `StockModel` of a case; a model of the same sizes is exported once in a process."""
    from ikelos.serving import StockModel

    sizes = {name: case[name] for name in step_transformer.arguments(1, case["time"]) if name != "batch"}
    return StockModel(_version(tuple(sizes.items()), flavour), library(flavour))


@functools.cache
def _version(sizes, flavour):
    folder = _folder()
    return export(dict(sizes), flavour, pathlib.Path(folder.name, flavour))


@functools.cache
def _folder():
    # Deleted when the process ends.
    return tempfile.TemporaryDirectory()
