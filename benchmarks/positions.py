"""Compares position encodings with each other and with none, on three tasks that depend on order only.

    python benchmarks/positions.py [--quick] [--seeds N] [--json PATH]

A small encoder, which sees all tokens at once, reads sequences of distinct tokens. For each token it predicts

    shift    the token 3 positions earlier
    nearest  the nearest token of the other parity: an odd one for an even one, and vice versa
    reverse  the token at the mirrored position

Without positions it could only guess among the possible tokens; the row `guess` has the exact accuracy of guessing.
Each model is trained on sequences of one length, and tested on new ones of that length and of twice that length.
Accuracies are shares of the tokens that have an answer, over 1024 sequences. The table shows mean and range over the
seeds. `--quick` runs one seed of one task on short sequences. `--json` writes a list of {"task", "encoding", "seed",
"length", "accuracy", "guess"}.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from ikelos import kernels, layers

# Silences TensorFlow's warning about retracing: each encoding needs separate graphs.
tf.get_logger().setLevel("ERROR")

HEADS = 8
SIZE = 64
BATCH = 64
TEST_SEQUENCES = 1024
SHIFT = 3
LEARNING_RATE = 2e-3


@dataclasses.dataclass(frozen=True)
class Effort:
    """Amount of work: tasks, length of training sequences, size of the vocabulary, blocks, training steps, seeds."""

    tasks: tuple[str, ...]
    length: int
    vocabulary: int
    blocks: int
    steps: int
    seeds: int


FULL = Effort(("shift", "nearest", "reverse"), length=16, vocabulary=48, blocks=2, steps=500, seeds=3)
QUICK = Effort(("shift",), length=8, vocabulary=16, blocks=1, steps=150, seeds=1)


def shift(tokens):
    places = np.arange(tokens.shape[1])
    answers = np.where(places >= SHIFT, places - SHIFT, -1)
    return np.tile(answers, [len(tokens), 1]), np.full(tokens.shape, tokens.shape[1] - 1)


def nearest(tokens):
    length = tokens.shape[1]
    other = tokens[:, :, None] % 2 != tokens[:, None, :] % 2
    away = np.abs(np.arange(length)[:, None] - np.arange(length))
    away = np.where(other, away, length)
    least = away.min(axis=2, keepdims=True)
    # There is no answer if no token has the other parity, or if two of them are equally near.
    clear = (least[..., 0] < length) & ((away == least).sum(axis=2) == 1)
    return np.where(clear, away.argmin(axis=2), -1), np.maximum(other.sum(axis=2), 1)


def reverse(tokens):
    answers = np.arange(tokens.shape[1])[::-1]
    return np.tile(answers, [len(tokens), 1]), np.full(tokens.shape, tokens.shape[1] - 1)


# Functions from tokens [B,T] to two arrays [B,T]: the positions of the answers, -1 for none; and the number of tokens
# that could be the answer for a model that does not know the positions.
TASKS = {"shift": shift, "nearest": nearest, "reverse": reverse}


def draw(task, count, length, vocabulary, seed):
    """Draws sequences for a task.

    Returns:
        Tokens and answers, int32 `[count, length]`; weights, 0 where there is no answer; and the accuracy of guessing.
    """
    random = np.random.default_rng(seed)
    tokens = random.random([count, vocabulary], np.float32).argsort(axis=1)[:, :length]
    places, candidates = TASKS[task](tokens)
    weights = (places >= 0).astype("float32")
    answers = np.take_along_axis(tokens, np.maximum(places, 0), axis=1)
    return tokens.astype("int32"), answers.astype("int32"), weights, np.average(1 / candidates, weights=weights)


class Encoder(keras.Model):
    """A pre-norm encoder; `position` is added to the tokens' embeddings, or used by all blocks' attention."""

    def __init__(self, vocabulary, blocks, position):
        super().__init__()
        self.position = position
        self.embedding = keras.layers.Embedding(vocabulary, SIZE, keras.initializers.RandomNormal(stddev=1.0))
        self.parts = [
            {
                "attention_norm": layers.FusedRMSNormalization(),
                "heads": keras.layers.Dense(3 * SIZE, use_bias=False),
                "output": keras.layers.Dense(SIZE, use_bias=False),
                "norm": layers.FusedRMSNormalization(),
                "up": keras.layers.Dense(2 * SIZE, activation="relu"),
                "down": keras.layers.Dense(SIZE),
            }
            for _ in range(blocks)
        ]
        self.norm = layers.FusedRMSNormalization()
        self.logits = keras.layers.Dense(vocabulary)

    def call(self, tokens):
        """Returns logits `[B,T,V]` for `tokens [B,T]`."""
        x = self.embedding(tokens)
        if isinstance(self.position, layers.SinusoidalPositionEmbedding | layers.LearnedPositionEmbedding):
            x = self.position(x)
        for part in self.parts:
            x += part["output"](self.attention(part["heads"](part["attention_norm"](x))))
            x += part["down"](part["up"](part["norm"](x)))
        return self.logits(self.norm(x))

    def attention(self, projected):
        """Computes attention, without a mask, of queries, keys and values in `projected [B,T,3D]`."""
        batch, length = tf.unstack(tf.shape(projected)[:2])
        heads = tf.reshape(projected, [batch, length, 3 * HEADS, SIZE // HEADS])
        query, key, value = tf.split(heads, 3, axis=2)
        positions, options = tf.range(length), {}
        if isinstance(self.position, layers.RotaryEmbedding):
            query, key = self.position(query, positions), self.position(key, positions)
        if isinstance(self.position, layers.AlibiBias):
            options["alibi_slopes"] = self.position.slopes()
        if isinstance(self.position, layers.RelativePositionBias):
            options["bias"] = self.position(positions, positions)
        return tf.reshape(kernels.attention(query, key, value, **options), [batch, length, SIZE])


ENCODINGS = {
    "none": lambda length: None,
    "sinusoidal": lambda length: layers.SinusoidalPositionEmbedding(),
    "learned": lambda length: layers.LearnedPositionEmbedding(length, keras.initializers.RandomNormal(stddev=1.0)),
    "rotary": lambda length: layers.RotaryEmbedding(),
    "alibi": lambda length: layers.AlibiBias(HEADS),
    "relative": lambda length: layers.RelativePositionBias(HEADS),
}


def make_model(encoding, effort, seed):
    """Returns a built model for sequences of up to twice the training length."""
    keras.utils.set_random_seed(seed)
    model = Encoder(effort.vocabulary, effort.blocks, ENCODINGS[encoding](2 * effort.length))
    model(np.zeros([1, effort.length], "int32"))
    return model


def trainer(model, steps):
    """Returns a function that trains the model on arrays `[steps * BATCH, T]`.

    All tasks and seeds share one graph with all steps, because building it takes a third as long as a training.
    """
    rate = keras.optimizers.schedules.CosineDecay(0.0, steps, warmup_target=LEARNING_RATE, warmup_steps=steps // 10)
    optimizer = keras.optimizers.Adam(rate)
    optimizer.build(model.trainable_variables)

    @tf.function
    def all_steps(tokens, answers, weights):
        for step in tf.range(steps):
            rows = tf.range(step * BATCH, (step + 1) * BATCH)
            with tf.GradientTape() as tape:
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                    tf.gather(answers, rows), model(tf.gather(tokens, rows))
                )
                here = tf.gather(weights, rows)
                loss = tf.reduce_sum(losses * here) / tf.reduce_sum(here)
            variables = [variable.value for variable in model.trainable_variables]
            optimizer.apply(tape.gradient(loss, variables), model.trainable_variables)

    def train(data):
        for variable in optimizer.variables:
            variable.assign(tf.zeros_like(variable))
        all_steps(*data)

    return train


def accuracies(effort, encoding, seeds):
    """Yields the rows of an encoding, one for each task, seed and length."""
    model = make_model(encoding, effort, 0)
    train = trainer(model, effort.steps)
    answer = tf.function(model, reduce_retracing=True)
    for task in effort.tasks:
        for seed in range(seeds):
            model.set_weights(make_model(encoding, effort, seed).get_weights())
            train(draw(task, effort.steps * BATCH, effort.length, effort.vocabulary, [seed, 0])[:3])
            for length in (effort.length, 2 * effort.length):
                # The same sequences for all seeds and encodings.
                tokens, answers, weights, guess = draw(task, TEST_SEQUENCES, length, effort.vocabulary, [length, 1])
                right = tf.argmax(answer(tokens), axis=-1).numpy() == answers
                yield {
                    "task": task,
                    "encoding": encoding,
                    "seed": seed,
                    "length": length,
                    "accuracy": float(np.average(right, weights=weights)),
                    "guess": float(guess),
                }


def show(rows, effort):
    """Prints the table, with mean and range over the seeds in percent."""
    lengths = (effort.length, 2 * effort.length)
    print(f"\n{'task':<8} {'encoding':<11} " + " ".join(f"{f'T={length}':<24}" for length in lengths))
    for task in effort.tasks:
        its = [row for row in rows if row["task"] == task]
        guesses = [next(row["guess"] for row in its if row["length"] == length) for length in lengths]
        print(f"{task:<8} {'guess':<11} " + " ".join(f"{100 * guess:<24.1f}" for guess in guesses))
        for encoding in ENCODINGS:
            cells = []
            for length in lengths:
                found = [100 * row["accuracy"] for row in its if (row["encoding"], row["length"]) == (encoding, length)]
                cells.append(f"{statistics.mean(found):.1f} ({min(found):.1f} to {max(found):.1f})")
            print(f"{task:<8} {encoding:<11} " + " ".join(f"{cell:<24}" for cell in cells))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_const", dest="effort", const=QUICK, default=FULL, help="take seconds")
    parser.add_argument(
        "--seeds", type=int, help=f"number of seeds, by default {FULL.seeds}, or {QUICK.seeds} with --quick"
    )
    parser.add_argument("--json", metavar="PATH", help="file for the figures")
    options = parser.parse_args()
    effort, rows = options.effort, []
    for encoding in ENCODINGS:
        start = time.perf_counter()
        rows += accuracies(effort, encoding, options.seeds or effort.seeds)
        print(f"{encoding}: {time.perf_counter() - start:.0f} s", flush=True)
    show(rows, effort)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
