"""Figures of groups of the held-out examples."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from ikelos.pipelines.errors import UserError


def figures(
    groups: Sequence[str], apart: Collection[str], of: Callable[[list[int]], dict[str, Any]], examples: str
) -> dict[str, Any]:
    """Returns the figures of all examples but those of some groups, and under `groups` those of each group.

    Args:
        groups: Group of each example; empty for none.
        apart: Groups that count for their own figures alone.
        of: Function from the indices of some examples to their figures.
        examples: What the examples are, a plural for errors.

    Raises:
        UserError: If no example is left.
    """
    places: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        places.setdefault(group, []).append(place)
    together = sorted(place for group, some in places.items() if group not in apart for place in some)
    if not together:
        raise UserError(
            f"`evaluation.apart` must leave a group of the test {examples}. Received: {', '.join(sorted(apart))}, all"
        )
    return {**of(together), "groups": {group: of(places[group]) for group in sorted(places) if group}}
