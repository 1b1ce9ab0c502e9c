"""How well a model predicts documents: nats per token from the model, nats and bits per character for people.

Figures per token of models with other vocabularies cannot be compared; figures per character can, if every
model pays for every character. So an unknown token costs what it takes to name the character behind it, and
the end of each text is charged to the characters before it.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence

import keras
import numpy as np
import tensorflow as tf

from ikelos.pipelines.text.vocabulary.special import UNKNOWN


@dataclasses.dataclass(frozen=True)
class Likelihood:
    """What it cost to predict some text, in nats: `nats` contains `unknown_tokens` times the unknown cost."""

    nats: float
    tokens: int
    unknown_tokens: int
    characters: int

    @property
    def nats_per_character(self) -> float:
        """Mean cost of a character in nats."""
        return self.nats / self.characters

    @property
    def bits_per_character(self) -> float:
        """Mean cost of a character in bits."""
        return self.nats_per_character / math.log(2)

    def figures(self) -> dict[str, float | int]:
        """All of it as plain numbers for a JSON file."""
        return {
            "nats_per_character": self.nats_per_character,
            "bits_per_character": self.bits_per_character,
            **dataclasses.asdict(self),
        }


def token_nll(model: keras.Model, dataset: tf.data.Dataset, lengths: Sequence[int]) -> list[np.ndarray]:
    """Negative log-likelihood of every token of some documents, in nats: a float64 [T] for each document.

    Args:
        model: maps int32 [B, T] to logits [B, T, V].
        dataset: the documents as `windows.strided` cuts them: each token weighs 1 in one window, 0 elsewhere.
        lengths: number of tokens of each document, in the order in which `dataset` was given them.

    Raises:
        ValueError: if `dataset` does not count each token of documents of these lengths exactly once.
        FloatingPointError: if the model gives a token a likelihood that is not a number.
    """

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)] * 2)
    def nll(x, y):
        logits = tf.cast(model(x, training=False), tf.float32)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)

    total = sum(lengths)
    result = np.zeros(total)
    counted = np.zeros(total, np.int64)
    for batch in dataset:
        row, column = np.nonzero(batch["sample_weight"].numpy())
        place = batch["id"].numpy()[row] + column
        if place.size and place.max() >= total:
            raise ValueError(f"`dataset` counts token {place.max()}; `lengths` add up to {total} tokens.")
        result[place] = nll(batch["x"], batch["y"]).numpy()[row, column]
        np.add.at(counted, place, 1)
    if (counted != 1).any():
        place = int(np.argmax(counted != 1))
        raise ValueError(
            f"`dataset` must count each token once, as windows.strided does. "
            f"Received: token {place} of {total} counted {counted[place]} times"
        )
    if not np.isfinite(result).all():
        place = int(np.argmin(np.isfinite(result)))
        raise FloatingPointError(f"The model's likelihood of token {place} of {total} is {result[place]}.")
    return np.split(result, np.cumsum(lengths)[:-1])


def likelihoods(
    nll: Sequence[np.ndarray],
    documents: Sequence[np.ndarray],
    characters: Sequence[int],
    unknown_cost: float,
) -> list[Likelihood]:
    """Each document's likelihood, from the negative log-likelihoods of its tokens in nats.

    Args:
        nll: float [T] for each document, by `token_nll` or as minus an n-gram model's log-probabilities.
        documents: the token ids, int [T] for each document.
        characters: the number of characters of each document's text, without the end-of-text token.
        unknown_cost: nats to name the text behind one unknown token (the vocabulary knows it).
    """
    result = []
    for costs, document, size in zip(nll, documents, characters, strict=True):
        if len(costs) != len(document):
            raise ValueError(f"`nll` has {len(costs)} tokens for a document of {len(document)}.")
        unknown = int(np.count_nonzero(np.asarray(document) == UNKNOWN))
        nats = float(np.sum(costs, dtype=np.float64)) + unknown * unknown_cost
        result.append(Likelihood(nats, len(document), unknown, size))
    return result


def together(parts: Iterable[Likelihood]) -> Likelihood:
    """The likelihood of several documents as one: every character weighs the same."""
    return Likelihood(*(sum(column) for column in zip(*map(dataclasses.astuple, parts), strict=True)))
