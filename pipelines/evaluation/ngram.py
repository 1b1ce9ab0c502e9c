"""An interpolated n-gram model over token ids, the baseline of language models.

It uses interpolated modified Kneser-Ney smoothing (S. F. Chen and J. Goodman, "An Empirical Study of Smoothing
Techniques for Language Modeling", TR-10-98, Harvard, 1998, section 4), in NumPy. One fit serves every order: the levels
below the top one are the same for order n and order n + 1, so `NgramModel.truncated` costs nothing.

`ikelos.layers.NgramDistribution` has the same smoothing. It returns the probabilities of all tokens within a network,
while this model returns those of a text's tokens, for every order at once, and models the beginning of a text.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ikelos.layers.ngram.counting import check_document, contexts, count, discounts
from ikelos.pipelines.console import Progress, counted


@dataclasses.dataclass(frozen=True)
class _Smoothing:
    """The discounted probability of each n-gram of a level, and the weight that each context gives to shorter ones."""

    share: np.ndarray  # float64 [n-grams of this level]
    backoff: np.ndarray  # float64 [contexts of this level]; 1 where nothing followed the context


@dataclasses.dataclass(frozen=True)
class _Level:
    keys: np.ndarray  # int64 [n-grams of this level], sorted
    top: _Smoothing  # from the count of each n-gram: used if this level is the highest
    lower: _Smoothing  # from the number of different tokens before it: used otherwise; equals `top` in the last level


@dataclasses.dataclass(frozen=True)
class NgramModel:
    """N-gram model: the probabilities of tokens given the `order - 1` tokens before them."""

    vocabulary_size: int
    levels: tuple[_Level, ...]

    @property
    def order(self) -> int:
        """The length of the longest n-grams."""
        return len(self.levels)

    def truncated(self, order: int) -> "NgramModel":
        """Returns the model of a lower order, equal to one that is fitted with this order to the same documents.

        Raises:
            ValueError: If `order` is not between 1 and the fitted order.
        """
        if not 1 <= order <= self.order:
            raise ValueError(f"`order` must be between 1 and {self.order}, the fitted order. Received: order={order}")
        return dataclasses.replace(self, levels=self.levels[:order])

    def log_probabilities(self, document: np.ndarray) -> np.ndarray:
        """Returns the natural logarithm of each token's probability given its predecessors, float64 `[T]`.

        Args:
            document: int `[T]`, without begin-of-text: the model itself conditions the first tokens on the beginning of
                the text.

        Raises:
            ValueError: If the document is empty, is not one-dimensional, does not consist of integers, or has an id
                outside the vocabulary.
        """
        return self.log_probabilities_by_order(document)[-1]

    def log_probabilities_by_order(self, document: np.ndarray) -> np.ndarray:
        """Returns `log_probabilities` of each order from 1 to `order`, in one pass: float64 `[order,T]`.

        Args:
            document: As for `log_probabilities`.

        Raises:
            ValueError: As `log_probabilities`.
        """
        document = check_document(document, self.vocabulary_size)
        result = np.empty((self.order, document.size))
        probabilities = np.full(document.size, 1.0 / self.vocabulary_size)
        nodes = np.empty(0, np.int64)
        for index, level in enumerate(self.levels):
            before = contexts(nodes, document.size, self.levels[index - 1].keys.size if index else 0)
            nodes = _find(level.keys, before, document, self.vocabulary_size)
            result[index] = np.log(_interpolate(level.top, before, nodes, probabilities))
            probabilities = _interpolate(level.lower, before, nodes, probabilities)
        return result


def fit(documents: Sequence[np.ndarray], order: int, vocabulary_size: int) -> NgramModel:
    """Fits a model to the n-grams of `documents` up to length `order`.

    No n-gram spans two documents.

    Args:
        documents: Arrays int `[T]` of ids in `[0, vocabulary_size)`, each ending with end-of-text.
        order: Length of the longest n-grams.
        vocabulary_size: Size V of the vocabulary.

    Raises:
        ValueError: If there are no documents, a document is not an array of ids as above, or `order` or
            `vocabulary_size` is out of range.
    """
    levels: list[_Level] = []
    contexts_size = 1
    with Progress("counting n-grams"):
        counts = count(documents, order, vocabulary_size)
    for level in counts:
        of = level.keys // vocabulary_size
        top = _smooth(of, level.occurrences, contexts_size)
        lower = top if level.preceding is None else _smooth(of, level.preceding, contexts_size)
        levels.append(_Level(level.keys, top, lower))
        contexts_size = level.keys.size + 1  # one more: the beginning of a document
    return NgramModel(vocabulary_size, tuple(levels))


def best_order(model: NgramModel, validation: Sequence[np.ndarray]) -> tuple[int, list[float]]:
    """Returns the order that predicts the documents best, and the mean cost of every order in nats per token.

    Raises:
        ValueError: If there are no documents, or as `NgramModel.log_probabilities`.
    """
    if not validation:
        raise ValueError("`validation` must hold at least one document. Received: none")
    documents = counted(validation, "choosing the order", "documents", len(validation))
    total = sum(model.log_probabilities_by_order(document).sum(axis=1) for document in documents)
    costs = -total / sum(len(document) for document in validation)
    return int(np.argmin(costs)) + 1, costs.tolist()


def _find(keys: np.ndarray, contexts: np.ndarray, tokens: np.ndarray, vocabulary_size: int) -> np.ndarray:
    wanted = contexts * vocabulary_size + tokens
    places = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
    return np.where((keys[places] == wanted) & (contexts >= 0), places, -1)


def _interpolate(smoothing: _Smoothing, contexts: np.ndarray, nodes: np.ndarray, shorter: np.ndarray) -> np.ndarray:
    share = np.where(nodes >= 0, smoothing.share[nodes], 0.0)
    backoff = np.where(contexts >= 0, smoothing.backoff[contexts], 1.0)
    return share + backoff * shorter


def _smooth(contexts: np.ndarray, counts: np.ndarray, contexts_size: int) -> _Smoothing:
    """Discounts the `counts` of n-grams with the given `contexts`, both int `[n-grams]`."""
    taken_of_each = discounts(counts)[np.minimum(counts, 3)]
    totals = np.bincount(contexts, weights=counts, minlength=contexts_size)
    taken = np.bincount(contexts, weights=taken_of_each, minlength=contexts_size)
    backoff = np.divide(taken, totals, out=np.ones(contexts_size), where=totals > 0)
    return _Smoothing((counts - taken_of_each) / totals[contexts], backoff)
