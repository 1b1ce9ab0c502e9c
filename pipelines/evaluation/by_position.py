"""Cost of a token by the number of tokens before it in the context."""

from collections.abc import Iterable, Sequence

import numpy as np

from ikelos.pipelines.data.store import Ragged
from ikelos.pipelines.report import curves
from ikelos.pipelines.report.sections import Picture, Section


def positions(documents: Ragged, context: int) -> np.ndarray:
    """Returns the number of tokens before each token in its window, int64 `[total]`.

    The windows are those of `text.windows.strided` with a stride of `context`, T: they don't overlap, but the last one
    of a document of at least T tokens begins T tokens before the document's end.
    """
    lengths = documents.lengths
    place = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    end = np.minimum((place // context + 1) * context, np.repeat(lengths, lengths))
    return place - np.maximum(end - context, 0)


def costs(nll: Iterable[np.ndarray], place: np.ndarray) -> list[dict[str, float]]:
    """Returns the mean cost of tokens with 0, 1, 2 to 3, 4 to 7, ... tokens before them.

    Args:
        nll: Negative log-likelihoods in nats of all tokens, in order, in arrays of any lengths.
        place: The `positions` of the tokens.

    Returns:
        For each group that has tokens: `first` and `last` number of tokens before them, `tokens` and mean `nats`.
    """
    group = np.frexp(place.astype(np.float64))[1]  # 0, 1, 2 to 3, 4 to 7: the number of binary digits
    number = int(group.max(initial=0)) + 1
    nats, counts, done = np.zeros(number), np.bincount(group, minlength=number), 0
    for some in nll:
        nats += np.bincount(group[done : done + len(some)], some, minlength=number)
        done += len(some)
    if done != len(place):
        raise ValueError(f"`nll` must be of {len(place)} tokens. Received: {done}")
    return [
        {
            "first": (1 << index) // 2,
            "last": int(place[group == index].max()),
            "tokens": int(counts[index]),
            "nats": float(nats[index] / counts[index]),
        }
        for index in np.flatnonzero(counts).tolist()
    ]


def section(found: Sequence[dict[str, float]]) -> list[Section]:
    """Returns the report's section with the results of `costs`; an empty list if there are none."""
    if not found:
        return []
    points = [((group["first"] + group["last"]) / 2 + 1, group["nats"]) for group in found]
    words = ", ".join(f"{group['first']} to {group['last']}: {group['nats']:.2f}" for group in found)
    return [
        Picture(
            heading="Cost by position in the context",
            prose=[
                "Mean cost of a test token by the number of tokens that the model sees before it, in windows without "
                "overlap. It shows what a longer context is worth."
            ],
            figure=curves.draw([curves.Curves("Nats per token", {"the model": points})], "place in the window", "log"),
            alt=f"Nats per token by the number of tokens before it: {words}",
        )
    ]
