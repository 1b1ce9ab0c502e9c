"""Losses of classes and tokens, for vocabularies of thousands."""

from ikelos.layers.losses.cross_entropy import cross_entropy
from ikelos.layers.losses.linear_cross_entropy import linear_cross_entropy

__all__ = ["cross_entropy", "linear_cross_entropy"]
