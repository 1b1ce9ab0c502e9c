"""What is known of our own data sets besides their examples."""

import dataclasses
import importlib
from collections.abc import Mapping

from ikelos.pipelines.data import builders, sources
from ikelos.pipelines.data.config import Source, Splits
from ikelos.pipelines.recipe.sections import Peer


@dataclasses.dataclass(frozen=True)
class Known:
    """Figures of other models on a data set, and beginnings of texts; a builder's module has them as `KNOWN`.

    Attributes:
        peers: Other models' figures on its own splits, by the name of the metric: `nats_per_character`.
        shape: Of the images `(H, W, C)` that these figures are of, if they are of images.
        prompts: What samples of a language model begin with.
    """

    peers: Mapping[str, tuple[Peer, ...]] = dataclasses.field(default_factory=dict)
    shape: tuple[int, int, int] | None = None
    prompts: tuple[str, ...] = ()


def of(source: Source) -> Known:
    """What is known of a source: nothing, unless it is a data set of our own in its own splits."""
    name = (source.tfds or "").partition("/")[0].partition(":")[0]
    if name not in sources.available() or source.splits != Splits(train="train", validation="validation", test="test"):
        return Known()
    module = importlib.import_module(f"{builders.__name__}.{name}")
    return getattr(module, "KNOWN", Known())
