"""An interpolated n-gram model over token ids: the baseline beside every language model.

Interpolated modified Kneser-Ney smoothing (S. F. Chen and J. Goodman, "An Empirical Study of Smoothing
Techniques for Language Modeling", TR-10-98, Harvard, 1998, section 4), computed by NumPy alone. One fit serves every
order: what order n needs below its top level is what order n + 1 needs there too, so `NgramModel.truncated`
costs nothing.

The same smoothing as that of `ikelos.layers.NgramDistribution`, which gives all tokens' probabilities within a network;
this one gives those of a text, of every order at once, and knows where a text begins.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ikelos.layers.ngram.counting import check_document, contexts, count, discounts
from ikelos.pipelines.console import Progress, counted


@dataclasses.dataclass(frozen=True)
class _Smoothing:
    """One level's distributions: `share` of each n-gram, and what each context leaves to shorter ones."""

    share: np.ndarray  # float64 [n-grams of this level]
    backoff: np.ndarray  # float64 [contexts of this level]; 1 where nothing followed the context


@dataclasses.dataclass(frozen=True)
class _Level:
    keys: np.ndarray  # int64 [n-grams of this level], sorted
    top: _Smoothing  # of how often each n-gram occurs: used where this level is the highest
    lower: _Smoothing  # of how many different tokens stand before it: used below; the last level has `top` here too


@dataclasses.dataclass(frozen=True)
class NgramModel:
    """Probabilities of tokens given the `order - 1` tokens before them, for one document at a time."""

    vocabulary_size: int
    levels: tuple[_Level, ...]

    @property
    def order(self) -> int:
        """The length of the longest n-grams."""
        return len(self.levels)

    def truncated(self, order: int) -> "NgramModel":
        """The model of a lower `order` fitted on the same documents."""
        if not 1 <= order <= self.order:
            raise ValueError(f"`order` must be between 1 and {self.order}, the fitted order. Received: order={order}")
        return dataclasses.replace(self, levels=self.levels[:order])

    def log_probabilities(self, document: np.ndarray) -> np.ndarray:
        """Natural logarithm of each token's probability given all its predecessors in `document`.

        `document` is int [T], without begin-of-text: the model itself sees the begin of a text before the
        first token. Returns float64 [T].
        """
        return self.log_probabilities_by_order(document)[-1]

    def log_probabilities_by_order(self, document: np.ndarray) -> np.ndarray:
        """As `log_probabilities`, for each order from 1 to `order` in one pass: float64 [order, T]."""
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
    """Counts the n-grams of `documents` up to length `order`.

    Each document is int [T] of ids in `[0, vocabulary_size)`, ending in end-of-text; no n-gram reaches from
    one document into the next.
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
        contexts_size = level.keys.size + 1  # that of the begin of a document
    return NgramModel(vocabulary_size, tuple(levels))


def best_order(model: NgramModel, validation: Sequence[np.ndarray]) -> tuple[int, list[float]]:
    """The order that predicts `validation` documents best, and every order's mean cost in nats per token."""
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
    """Discounts the `counts` of n-grams with the given `contexts` (both int [n-grams])."""
    taken_of_each = discounts(counts)[np.minimum(counts, 3)]
    totals = np.bincount(contexts, weights=counts, minlength=contexts_size)
    taken = np.bincount(contexts, weights=taken_of_each, minlength=contexts_size)
    backoff = np.divide(taken, totals, out=np.ones(contexts_size), where=totals > 0)
    return _Smoothing((counts - taken_of_each) / totals[contexts], backoff)
