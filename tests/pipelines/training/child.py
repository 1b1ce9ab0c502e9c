"""A tiny stage, and jobs of `forks.py` that train it, for tests that end processes."""

import os
import signal
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from ikelos.pipelines.metric import Metric
from ikelos.pipelines.recipe.sections import PlainTraining
from ikelos.pipelines.training import fit as fitting
from ikelos.pipelines.training import progress
from ikelos.pipelines.training.errors import Terminated
from ikelos.pipelines.training.stage import Feed, Stage

VOCABULARY, BATCH, LENGTH = 10, 4, 6

OPTIMIZER = {
    "kind": "adamw",
    "learning_rate": 0.03,
    "warmup_steps": 4,
    "final_learning_rate_ratio": 0.1,
    "weight_decay": 0.01,
    "beta_1": 0.9,
    "beta_2": 0.95,
    "clip_norm": 0.5,
}
TRAINING = {
    "steps": 20,
    "batch_size": BATCH,
    "seed": 3,
    "steps_per_epoch": 8,  # so the last epoch is shorter
    "ema_momentum": 0.9,
    "early_stop_patience": 0,
    "checkpoint_every": 3,
    "deterministic": True,
    "jit_compile": False,
    "profile_steps": None,
}


def training(**changes) -> PlainTraining:
    """Returns the training section of the tiny stage, with changes of it or of its optimizer."""
    optimizer = {name: changes.pop(name) for name in changes.keys() & OPTIMIZER.keys()}
    return PlainTraining(
        **TRAINING | {"deterministic": False, "optimizers": {"model": OPTIMIZER | optimizer}} | changes
    )


def build() -> keras.Model:
    """Builds a model with weights, statistics (batch normalisation) and a random generator (dropout)."""
    x = keras.Input((LENGTH,), dtype="int32", name="x")
    h = keras.layers.Embedding(VOCABULARY, 8)(x)
    h = keras.layers.Dropout(0.2)(h)
    h = keras.layers.Dense(8, activation="relu")(h)
    h = keras.layers.BatchNormalization()(h)
    return keras.Model(x, keras.layers.Dense(VOCABULARY, name="logits")(h))


def batch(step) -> dict[str, tf.Tensor]:
    """Returns a batch of sequences that count up from random numbers, which depend on the step alone."""
    start = tf.random.stateless_uniform([BATCH, 1], [7, step], 0, VOCABULARY, tf.int32)
    x = (start + tf.range(LENGTH)) % VOCABULARY
    weight = tf.cast(tf.range(LENGTH) < 5, tf.float32) * tf.ones([BATCH, 1])
    return {
        "id": step * BATCH + tf.range(BATCH, dtype=tf.int64),
        "x": x,
        "y": (x + 1) % VOCABULARY,
        "sample_weight": weight,
    }


def stage(**changes) -> dict:
    """Returns the arguments of the tiny stage: fields of `Stage` and of `Feed`."""
    parts = {
        "name": "tiny",
        "build": build,
        "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight"),
        "train": lambda start, shard: tf.data.Dataset.range(start, 10**6).map(batch),
        "validation": tf.data.Dataset.range(10**6, 10**6 + 2).map(batch),
        "unit": "tokens",
        "metric": Metric("loss", "nats"),
        "trouble": None,
        "trouble_patience": 0,
        "units_per_step": BATCH * LENGTH,
        "units": 1000 * BATCH * LENGTH,
        "samples": lambda model: [str(model(tf.zeros([1, LENGTH], tf.int32)).shape)],
    }
    return parts | changes


def fit(parts: dict, training: PlainTraining, folder: Path) -> keras.Model:
    """Trains a stage with these arguments."""
    feed = Feed(**{name: parts[name] for name in ("train", "validation", "units_per_step", "units", "samples")})
    stage = Stage(
        training=training,
        build=lambda _: parts["build"](),
        feed=lambda *_: feed,
        **{name: parts[name] for name in ("name", "unit", "metric", "loss", "trouble", "trouble_patience")},
    )
    return fitting.fit(stage, feed, {}, folder)


def variables(model: keras.Model) -> list[np.ndarray]:
    return [variable.numpy() for variable in [*model.variables, *model.optimizer.variables]]


def _signal_at(step: int, number: int) -> None:
    """Makes the process send itself a signal after a step, before the step is saved."""
    original = progress.Progress.advance

    def spy(self, steps=1):
        original(self, steps)
        if self.done == step and steps == 1:  # after a step of this run, not at the step where it resumed
            os.kill(os.getpid(), number)

    progress.Progress.advance = spy


def _signalling(number: int) -> tf.data.Dataset:
    """Returns the validation data; the process sends itself a signal while it is read."""

    def send(step):
        os.kill(os.getpid(), number)
        return step

    return tf.data.Dataset.range(10**6, 10**6 + 2).map(
        lambda step: batch(tf.ensure_shape(tf.py_function(send, [step], tf.int64), []))
    )


def _die_writing(step: int, part: str) -> None:
    """Makes the process die while it writes a step's checkpoint: within its bytes, or before or after the renaming."""
    savez, replace = np.savez, os.replace

    def half(file, **arrays):
        savez(file, **arrays)
        if f"step-{step:08d}" in file.name:
            file.truncate(file.tell() // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    def renaming(source, target):
        if part == "after":
            replace(source, target)
        if f"step-{step:08d}" in str(target):
            os.kill(os.getpid(), signal.SIGKILL)
        if part == "before":
            replace(source, target)

    if part == "amid":
        np.savez = half
    else:
        os.replace = renaming


def run(job: dict) -> int:
    """Trains the tiny stage in a folder, as a job of `forks.py`, and returns its exit code."""
    folder = Path(job["folder"])
    folder.mkdir(exist_ok=True)
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    tiny = stage()
    if "signal" in job:
        _signal_at(*job["signal"])
    if "signal_in_validation" in job:
        tiny = stage(validation=_signalling(job["signal_in_validation"]))
    if "writing" in job:
        _die_writing(*job["writing"])
    try:
        model = fit(tiny, training(**{"deterministic": True} | job.get("training", {})), folder)
    except Terminated as error:
        print(error, flush=True)
        return 128 + error.signal
    np.savez(folder / "final.npz", *variables(model))
    return 0
