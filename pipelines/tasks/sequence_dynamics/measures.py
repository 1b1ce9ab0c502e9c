"""Measures of the networks: accuracy by lag, gradients by distance in time, speed by length."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from ikelos.pipelines.console import counted
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.evaluation import decoding_speed
from ikelos.pipelines.tasks.sequence_dynamics import networks, problems
from ikelos.pipelines.tasks.sequence_dynamics.config import Speed
from ikelos.pipelines.text.vocabulary.special import BEGIN

Points = list[list[float]]
"""Points of a curve, `[x, y]`."""
Answer = Callable[[tf.Tensor], tf.Tensor]
"""A network, or a rule in its place."""


def accuracy(problem: problems.Problem, answer: Answer, dataset: tf.data.Dataset, tolerance: float) -> list[float]:
    """Returns the share of right answers in each batch: symbols of the copy problem, sums of the adding problem.

    Args:
        problem: The problem.
        answer: Function from inputs to outputs `[B,T,V]`.
        dataset: Batches of `problems.one_batch_per_lag`.
        tolerance: Largest error of a sum that is right.
    """
    shares = []
    for batch in dataset:
        outputs, y, is_counted = answer(batch["x"]), batch["y"], batch["sample_weight"] > 0
        if isinstance(problem, problems.Copying):
            right = tf.argmax(outputs, axis=-1, output_type=tf.int32) == y
        else:
            right = tf.abs(outputs - y)[..., 0] <= tolerance
        shares.append(float(tf.reduce_mean(tf.cast(tf.boolean_mask(right, is_counted), tf.float32))))
    return shares


def guess(problem: problems.Problem) -> Answer:
    """Returns the best answer without the sequence: any symbol, and 1, the mean of a sum."""
    if isinstance(problem, problems.Copying):
        return lambda x: tf.one_hot(tf.zeros_like(x), problem.symbols)
    return lambda x: tf.ones_like(x[..., :1])


def text_windows(tokens: np.ndarray, count: int, length: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the inputs and targets, int32 `[B,T]`, of the first full windows of some tokens, at most `count`.

    Raises:
        UserError: If the tokens do not fill a window.
    """
    number = min(count, len(tokens) // length)
    if not number:
        raise UserError(
            f"`problems.text_length` must be at most {len(tokens)}, the number of test tokens. "
            f"Received: problems.text_length={length}"
        )
    y = np.asarray(tokens[: number * length]).reshape(number, length).astype(np.int32)
    x = np.concatenate([np.full([number, 1], BEGIN, np.int32), y[:, :-1]], axis=1)
    return tf.constant(x), tf.constant(y)


def gradient_norms(model: keras.Sequential, x: tf.Tensor, y: tf.Tensor) -> Points:
    """Returns the mean norm of the gradient of the last step's loss with respect to each embedded input.

    Args:
        model: Network of `networks.build` that reads tokens.
        x: Tokens, int32 `[B,T]`.
        y: Tokens that follow them, int32 `[B,T]`.

    Returns:
        A point for each distance in time from the last step, 0 to T - 1.
    """
    embedded = model.layers[0](x)
    with tf.GradientTape() as tape:
        tape.watch(embedded)
        logits = networks.after_embedding(model, embedded)[:, -1]
        # A sum over the texts: the gradient of each is that of its own loss.
        loss = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(y[:, -1], logits))
    # In float32 the squares of a vanished gradient would be 0.
    gradients = tf.cast(tape.gradient(loss, embedded), tf.float64)
    norms = tf.reduce_mean(tf.norm(gradients, axis=-1), axis=0).numpy()
    return [[distance, float(norm)] for distance, norm in enumerate(norms[::-1])]


def nats_per_token(model: keras.Model, x: tf.Tensor, y: tf.Tensor) -> float:
    """Returns the mean cost of the tokens `y [B,T]` that follow `x [B,T]`."""
    return float(tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, model(x))))


def step_times(models: Mapping[str, keras.Model], settings: Speed, text: np.ndarray) -> dict[str, Points]:
    """Returns the milliseconds of a training step, forward and backward, by length: medians of interleaved runs.

    The update of the weights is left out; it does not depend on the length.
    """

    def timed(step):
        def run(tokens):
            begun = time.perf_counter()
            float(step(tokens))
            return time.perf_counter() - begun

        return run

    runs = {name: timed(_step(model)) for name, model in models.items()}
    medians = _medians(runs, settings, settings.batch_size, text, "the speed of training")
    return {name: [[length, 1000 * seconds] for length, seconds in points] for name, points in medians.items()}


def _step(model: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)], autograph=False)
    def step(tokens):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(tokens, model(tokens, training=True)))
        gradients = tape.gradient(loss, model.trainable_variables)
        with tf.control_dependencies([tf.convert_to_tensor(gradient) for gradient in gradients]):
            return tf.identity(loss)

    return step


def decoding_rates(models: Mapping[str, keras.Sequential], settings: Speed, text: np.ndarray) -> dict[str, Points]:
    """Returns the tokens a second of decoding one text, by the tokens before: medians of interleaved runs."""
    runs = {name: decoding_speed.timer(networks.Stepwise(model), settings.tokens) for name, model in models.items()}
    medians = _medians(runs, settings, 1, text, "the speed of decoding")
    return {
        name: [[length, settings.tokens / seconds] for length, seconds in points] for name, points in medians.items()
    }


def _medians(
    runs: Mapping[str, Callable[[tf.Tensor], float]], settings: Speed, count: int, text: np.ndarray, what: str
) -> dict[str, Points]:
    """Returns the median of the seconds of each run by length, on `count` texts; the runs are interleaved."""
    curves: dict[str, Points] = {name: [] for name in runs}
    for length in counted(settings.lengths, what, "lengths", len(settings.lengths)):
        tokens = tf.constant(_texts(text, count, length), tf.int32)
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for repeat in range(settings.repeats + 1):
            for name, run in runs.items():
                found = run(tokens)
                if repeat:  # the first is a warm-up
                    seconds[name].append(found)
        for name, values in seconds.items():
            curves[name].append([length, statistics.median(values)])
    return curves


def _texts(tokens: np.ndarray, count: int, length: int) -> np.ndarray:
    """Returns texts `[count,length]`, which begin again at the end of the tokens."""
    return np.resize(np.asarray(tokens[: count * length]), [count, length])


def mean(curves: Sequence[Points]) -> float:
    """Returns the mean of the values of several curves."""
    return float(np.mean([value for curve in curves for _, value in curve]))
