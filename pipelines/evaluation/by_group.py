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
        UserError: As `check`.
    """
    check(groups, apart, noun)
    places: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        places.setdefault(group, []).append(place)
    together = sorted(place for group, some in places.items() if group not in apart for place in some)
    return {**figures_of(together), "groups": {group: figures_of(places[group]) for group in sorted(places) if group}}


def check(groups: Collection[str], apart: Collection[str], noun: str) -> None:
    """Checks the groups that count for their own figures alone; the arguments are those of `figures`.

    Raises:
        UserError: If one of them is no group of the examples, or no other example is left.
    """
    known = set(groups)
    for group in apart:
        if group not in known:
            raise UserError(
                f"`evaluation.apart` must name groups of the test {noun} "
                f"({', '.join(sorted(known - {''})) or 'there are none'}). Received: {group}"
            )
    if known <= set(apart):
        raise UserError(
            f"`evaluation.apart` must leave a group of the test {noun}. Received: {', '.join(sorted(apart))}, all"
        )
