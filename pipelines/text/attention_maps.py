"""Pictures of the attention of translation models: which source tokens a target token was written from."""

import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from ikelos.pipelines.report import charts
from ikelos.pipelines.report.sections import Picture
from ikelos.pipelines.text.vocabulary import Vocabulary
from ikelos.pipelines.text.vocabulary.special import BEGIN, END

_COLUMNS = 2
_LABELLED = 60
"""Most tokens whose labels can be read."""


def section(model: keras.Model, vocabulary: Vocabulary, pairs: Sequence[tuple[str, str]]) -> Picture:
    """Returns the section with the maps of some sources and their translations.

    Args:
        model: Model with `attention_weights`, such as `ikelos.layers.TransformerTranslationModel`.
        vocabulary: Vocabulary of both sides.
        pairs: Sources and their translations, at least one pair.
    """
    maps = [attention(model, vocabulary, *pair) for pair in pairs]
    return Picture(
        heading="Attention to the source",
        prose=[
            "The weight of each source token (columns) when the token of a row is written: the mean over the heads of "
            "all of the decoder's attentions to the source."
        ],
        figure=_draw(maps),
        alt="; ".join(f"{source} → {target}" for source, target in pairs),
    )


def attention(
    model: keras.Model, vocabulary: Vocabulary, source: str, target: str
) -> tuple[list[str], list[str], np.ndarray]:
    """Returns the source tokens, the target tokens, and the weights with which each target token was predicted.

    Returns:
        The tokens as texts, S and T of them, each with the end-of-text token as ∎, and float32 `[T,S]`, the mean of the
        weights over attentions and heads. The sum of a row is 1.
    """
    ours, theirs = (np.append(vocabulary.tokens(text), END).astype(np.int32) for text in (source, target))
    inputs = {"source": tf.constant(ours[None]), "target": tf.constant([[BEGIN, *theirs[:-1]]])}
    weights = tf.reduce_mean(model.attention_weights(inputs), axis=(1, 2))[0]
    return _pieces(vocabulary, ours), _pieces(vocabulary, theirs), tf.cast(weights, tf.float32).numpy()


def _pieces(vocabulary: Vocabulary, tokens: np.ndarray) -> list[str]:
    texts = vocabulary.decode(tf.constant(tokens[:-1, None])).numpy()
    return [*(text.decode("utf-8", "replace").replace(" ", "·") for text in texts), "∎"]


def _draw(maps: list[tuple[list[str], list[str], np.ndarray]]) -> Figure:
    columns = min(_COLUMNS, len(maps))
    rows = math.ceil(len(maps) / columns)
    with charts.style():
        figure = Figure(figsize=(6.6, 6.6 / columns * rows * 1.1), layout="constrained")
        every = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axes in every[len(maps) :]:
            axes.set_axis_off()
        for axes, (source, target, weights) in zip(every, maps, strict=False):
            axes.imshow(weights, cmap="Blues", vmin=0, aspect="auto")
            size = min(7.0, 300 / columns / max(len(source), len(target)))
            for pieces, ticks in ((source, axes.set_xticks), (target, axes.set_yticks)):
                labels = [charts.plain(piece) for piece in pieces if len(pieces) <= _LABELLED]
                ticks(range(len(labels)), labels, fontsize=size)
            axes.tick_params(axis="x", labelrotation=90, length=0)
            axes.tick_params(axis="y", length=0)
            axes.grid(visible=False)
    return figure
