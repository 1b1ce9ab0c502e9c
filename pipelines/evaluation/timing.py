"""Timing of several functions, interleaved, so that a change of the machine's speed affects all of them."""

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from ikelos.pipelines.console import counted

Timer = Callable[[tf.Tensor], float]
"""Function from an input to the seconds that it took."""


def interleaved(
    timers: Mapping[str, Timer], inputs: Sequence[tf.Tensor], repeats: int, what: str
) -> list[dict[str, list[float]]]:
    """Returns the seconds of each timer's repetitions, for each input.

    The first call with each input, which may trace a graph, is not counted.

    Args:
        timers: The timers by name, which take turns.
        inputs: Inputs of several lengths.
        repeats: Number of repetitions.
        what: What is timed, for the progress display.
    """
    result = []
    for one in counted(inputs, what, "lengths", len(inputs)):
        seconds: dict[str, list[float]] = {name: [] for name in timers}
        for repeat in range(repeats + 1):
            for name, timer in timers.items():
                found = timer(one)
                if repeat:
                    seconds[name].append(found)
        result.append(seconds)
    return result
