"""Figures of groups of the held-out examples."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from ikelos.pipelines.errors import UserError


def figures(
    groups: Sequence[str], apart: Collection[str], figures_of: Callable[[list[int]], dict[str, Any]], noun: str
) -> dict[str, Any]:
    """Returns the figures of all examples but those of some groups, and under `groups` those of each group.

    Args:
        groups: Group of each example; empty for none.
        apart: Groups that count for their own figures alone.
        figures_of: Function from the indices of some examples to their figures.
        noun: Plural noun for the examples, for errors.

    Raises:
        UserError: If no example is left.
    """
    places: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        places.setdefault(group, []).append(place)
    together = sorted(place for group, some in places.items() if group not in apart for place in some)
    if not together:
        raise UserError(
            f"`evaluation.apart` must leave a group of the test {noun}. Received: {', '.join(sorted(apart))}, all"
        )
    return {**figures_of(together), "groups": {group: figures_of(places[group]) for group in sorted(places) if group}}
