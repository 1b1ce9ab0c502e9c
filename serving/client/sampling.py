"""The choice of a token from logits, as `ikelos.layers.decoding.sample` makes it in the graph."""

import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: At least 0; 0 takes the likeliest token.
        top_k: Number of the likeliest tokens to draw from; 0 draws from all.
        top_p: Probability in (0, 1] that the likeliest tokens to draw from must reach together; 1 draws from all.

    Raises:
        ValueError: If an attribute is out of range.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self):
        if not (0 <= self.temperature < math.inf):
            raise ValueError(f"`temperature` must be at least 0 and finite. Received: temperature={self.temperature}")
        if self.top_k < 0:
            raise ValueError(f"`top_k` must be at least 0. Received: top_k={self.top_k}")
        if not (0 < self.top_p <= 1):
            raise ValueError(f"`top_p` must be above 0 and at most 1. Received: top_p={self.top_p}")

    def choose(self, logits: np.ndarray, uniform: float) -> int:
        """Returns a token.

        Args:
            logits: float32 `[V]`.
            uniform: Random number in [0, 1).
        """
        tokens = np.argsort(-logits, kind="stable")  # of equally likely tokens, the first
        if self.temperature < np.finfo(np.float32).tiny:
            return int(tokens[0])
        ordered = logits[tokens].astype(np.float64)
        probabilities = np.exp((ordered - ordered[0]) / self.temperature)
        if self.top_k:
            probabilities[self.top_k :] = 0
        probabilities /= probabilities.sum()
        # The first token always remains, because the probability before it is 0.
        before = np.cumsum(probabilities) - probabilities
        reached = np.cumsum(np.where(before < self.top_p, probabilities, 0))
        return int(tokens[np.argmax(reached > uniform * reached[-1])])
