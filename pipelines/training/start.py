"""The weights of another run, for a stage to begin with."""

import dataclasses
from collections.abc import Callable

import keras

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.training.checkpoint import named


@dataclasses.dataclass(frozen=True)
class Start:
    """A finished run whose weights another begins with.

    Attributes:
        run: Its folder, as the recipe names it.
        load: From the name of a stage to its trained model.
    """

    run: str
    load: Callable[[str], keras.Model]

    def copy_to(self, model: keras.Model, stage: str) -> None:
        """Gives a new model the weights of the run's; counters, which are integers, stay as they are.

        Raises:
            UserError: If the two have other weights.
        """
        weights, found = named(model.weights), named(self.load(stage).weights)
        for name in sorted(weights.keys() | found.keys()):
            here, there = (list(kept[name].shape) if name in kept else "absent" for kept in (weights, found))
            if here != there:
                raise UserError(
                    f"`from` must be a run of the same architecture: its stage {stage!r} has the weight "
                    f"{name.partition('/')[2]!r} {there}, which is {here} here. Received: from={self.run}"
                )
        for name, weight in weights.items():
            if keras.backend.is_float_dtype(weight.dtype):
                weight.assign(found[name])
