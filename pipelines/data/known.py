"""Published figures, prompts and licences of the data sets of Ikelos."""

import dataclasses
from collections.abc import Mapping

from ikelos.pipelines.data import sources
from ikelos.pipelines.data.config import Source, Splits
from ikelos.pipelines.recipe.sections import Peer


@dataclasses.dataclass(frozen=True)
class Known:
    """Figures of other models on a data set, and prompts: the type of the constant `KNOWN` in a builder's module.

    Attributes:
        peers: Other models and their figures, by name of the metric, such as `nats_per_character`.
        shape: Shape `(H, W, C)` of the images for which the figures hold; None if the data are not images.
        prompts: Beginnings of a language model's samples.
    """

    peers: Mapping[str, tuple[Peer, ...]] = dataclasses.field(default_factory=dict)
    shape: tuple[int, int, int] | None = None
    prompts: tuple[str, ...] = ()


def of(source: Source) -> Known:
    """Returns `KNOWN` of a source; empty unless it is a data set of Ikelos with the splits of its builder."""
    name = _name(source)
    if name not in sources.available() or source.splits != Splits(train="train", validation="validation", test="test"):
        return Known()
    return getattr(sources.module_of(name), "KNOWN", Known())


def licence(source: Source) -> str:
    """Returns what is known of the licence of a source: `LICENCE` of its builder, or an empty text."""
    name = _name(source)
    return sources.module_of(name).LICENCE.strip() if name in sources.available() else ""


def _name(source: Source) -> str:
    """Returns the name of a source's TFDS data set, without its config and version; empty for files."""
    return (source.tfds or "").partition("/")[0].partition(":")[0]
