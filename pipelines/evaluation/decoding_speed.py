"""Speed of decoding with a cache and without one, by the length of the text so far."""

import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ikelos.layers.decoding import WithoutCache, greedy
from ikelos.layers.decoding.rows import while_loop
from ikelos.pipelines.evaluation.timing import Timer, interleaved
from ikelos.pipelines.report import curves
from ikelos.pipelines.report.sections import Picture, Section

CACHED, UNCACHED = "with the cache", "without it"


def measure(model: Any, text: np.ndarray, lengths: Sequence[int], steps: int, repeats: int) -> list[dict[str, float]]:
    """Times the greedy continuation of one text, after beginnings of several lengths.

    Each repetition times both ways one after the other, as `timing.interleaved` describes.

    Args:
        model: Model from tokens int32 `[B,T]` to logits `[B,T,V]` with `start` and `advance`, such as
            `ikelos.layers.TransformerLanguageModel`.
        text: Tokens, int `[n]`, as many as the longest length.
        lengths: Lengths of the beginnings.
        steps: Number of tokens to add to each.
        repeats: Number of repetitions.

    Returns:
        For each length: `length`; `tokens`, the number added; tokens a second `with the cache` and `without it`, the
        medians; and `ratio`, the median of the repetitions' ratios.
    """
    ways = {CACHED: timer(model, steps), UNCACHED: timer(WithoutCache(model), steps)}
    beginnings = [tf.constant(text[None, :length], tf.int32) for length in lengths]
    result = []
    for length, seconds in zip(lengths, interleaved(ways, beginnings, repeats, "the speed of decoding"), strict=True):
        ratios = [without / cached for cached, without in zip(*seconds.values(), strict=True)]
        rates = {name: steps / statistics.median(values) for name, values in seconds.items()}
        result.append({"length": length, "tokens": steps, **rates, "ratio": statistics.median(ratios)})
    return result


def timer(model: Any, steps: int) -> Timer:
    """Returns a function from a beginning int32 `[1,T]` to the seconds of `steps` further tokens."""

    # AutoGraph would convert the code of all layers, which takes ten times as long as the measurement.
    @tf.function(reduce_retracing=True, autograph=False)
    def start(tokens):
        length = tf.shape(tokens)[1]
        return model.start(tokens, length[None], length + steps)

    @tf.function(reduce_retracing=True, autograph=False)
    def write(logits, state):
        def add(step, logits, state):
            return step + 1, *model.advance(greedy(logits, step, None), state)

        return while_loop(lambda step, *_: step < steps, add, (0, logits, state))[1][0, 0]

    def run(tokens):
        logits, state = start(tokens)
        float(logits[0, 0])
        begun = time.perf_counter()
        float(write(logits, state))
        return time.perf_counter() - begun

    return run


def section(speeds: Sequence[dict[str, float]]) -> list[Section]:
    """Returns the report's section with the results of `measure`; an empty list if there are none."""
    if not speeds:
        return []
    last = speeds[-1]
    lines = {name: [(speed["length"], speed[name]) for speed in speeds] for name in (CACHED, UNCACHED)}
    words = "; ".join(
        f"{speed['length']} tokens: {speed[CACHED]:,.0f} with, {speed[UNCACHED]:,.0f} without" for speed in speeds
    )
    return [
        Picture(
            heading="Speed of decoding",
            prose=[
                "Tokens a second of one text, with the keys and values of earlier tokens in a cache and without it, "
                f"where the model reads the whole text again for each. After {last['length']:,} tokens the cache makes "
                f"it {last['ratio']:.1f} times as fast. Medians of interleaved runs of {last['tokens']} tokens."
            ],
            figure=curves.draw([curves.Curves("Tokens a second", lines, "log")], "tokens before", "log"),
            alt=f"Tokens a second by the length of the text before. {words}",
        )
    ]
