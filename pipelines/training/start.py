"""The weights of another run, for a stage to begin with."""

import dataclasses
import itertools
from collections.abc import Callable

import keras

from ikelos.pipelines.errors import UserError


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

        Weights are told by their order: Keras names them otherwise in a model that it has loaded.

        Raises:
            UserError: If the two have other weights.
        """
        pairs = list(itertools.zip_longest(model.weights, self.load(stage).weights))
        for here, there in pairs:
            shapes = ["absent" if weight is None else str(list(weight.shape)) for weight in (here, there)]
            if shapes[0] != shapes[1]:
                path = (there if here is None else here).path
                raise UserError(
                    f"`from` must be a run of the same architecture: in stage {stage!r}, {path} is {shapes[1]} there "
                    f"and {shapes[0]} here. Received: from={self.run}"
                )
        for here, there in pairs:
            if keras.backend.is_float_dtype(here.dtype):
                here.assign(there)
