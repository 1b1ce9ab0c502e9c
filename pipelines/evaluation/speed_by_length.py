"""Speed of several language models by the length of the text: a training step, and decoding."""

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ikelos.pipelines.evaluation import decoding_speed
from ikelos.pipelines.evaluation.timing import Timer, interleaved
from ikelos.pipelines.report import curves
from ikelos.pipelines.report.curves import Curves, Points
from ikelos.pipelines.report.sections import Picture


def training(
    models: Mapping[str, keras.Model], text: np.ndarray, lengths: Sequence[int], batch_size: int, repeats: int
) -> dict[str, Points]:
    """Returns the milliseconds of a training step, forward and backward, by length: medians of interleaved runs.

    The update of the weights is left out; it does not depend on the length.

    Args:
        models: Models from int32 `[B,T]` to logits `[B,T,V]` by name.
        text: Tokens, int `[n]`, which begin again if they are too few.
        lengths: Lengths of the texts in a batch.
        batch_size: Texts in a batch.
        repeats: Number of repetitions.
    """
    timers = {name: _step_timer(model) for name, model in models.items()}
    medians = _medians(timers, text, lengths, batch_size, repeats, "the speed of training")
    return {name: [(length, 1000 * seconds) for length, seconds in points] for name, points in medians.items()}


def decoding(
    models: Mapping[str, Any], text: np.ndarray, lengths: Sequence[int], steps: int, repeats: int
) -> dict[str, Points]:
    """Returns the tokens a second of continuing one text, by the tokens before: medians of interleaved runs.

    Args:
        models: Models with `start` and `advance`, such as `ikelos.layers.TransformerLanguageModel`, by name.
        text: Tokens, int `[n]`, which begin again if they are too few.
        lengths: Numbers of tokens before.
        steps: Number of tokens to add to each.
        repeats: Number of repetitions.
    """
    timers = {name: decoding_speed.timer(model, steps) for name, model in models.items()}
    medians = _medians(timers, text, lengths, 1, repeats, "the speed of decoding")
    return {name: [(length, steps / seconds) for length, seconds in points] for name, points in medians.items()}


def _step_timer(model: keras.Model) -> Timer:
    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)], autograph=False)
    def step(tokens):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(tokens, model(tokens, training=True)))
        gradients = tape.gradient(loss, model.trainable_variables)
        with tf.control_dependencies([tf.convert_to_tensor(gradient) for gradient in gradients]):
            return tf.identity(loss)

    def run(tokens):
        begun = time.perf_counter()
        float(step(tokens))
        return time.perf_counter() - begun

    return run


def _medians(
    timers: Mapping[str, Timer], text: np.ndarray, lengths: Sequence[int], count: int, repeats: int, name: str
) -> dict[str, list[tuple[float, float]]]:
    """Returns the median seconds of each timer on `count` texts of each length."""
    texts = [tf.constant(np.resize(text[: count * length], [count, length]), tf.int32) for length in lengths]
    found = list(zip(lengths, interleaved(timers, texts, repeats, name), strict=True))
    return {timer: [(length, statistics.median(seconds[timer])) for length, seconds in found] for timer in timers}


def section(milliseconds: Mapping[str, Points], rates: Mapping[str, Points]) -> Picture:
    """Returns the report's section with the results of `training` and `decoding` by the models' names."""
    return Picture(
        heading="Speed by length",
        prose=[
            "A Transformer reads all tokens in parallel, but attends to each pair of them; a recurrent network takes "
            "them one after the other. In decoding, a Transformer attends to all tokens before, and a recurrent "
            "network's state has one size. Medians of interleaved runs on this machine."
        ],
        figure=curves.draw(
            [
                Curves("Milliseconds of a training step", milliseconds, "log"),
                Curves("Tokens a second in decoding", rates, "log"),
            ],
            "length in tokens",
            "log",
            columns=2,
        ),
        alt=f"Milliseconds of a training step by length: {curves.ends_in_words(milliseconds)}. "
        f"Tokens a second: {curves.ends_in_words(rates, '.0f')}",
    )
