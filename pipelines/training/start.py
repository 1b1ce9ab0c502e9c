"""Initial weights of a stage from another run."""

import dataclasses
import itertools
from collections.abc import Callable

import keras

from ikelos.pipelines.errors import UserError


@dataclasses.dataclass(frozen=True)
class Start:
    """A finished run that gives another run its initial weights.

    Attributes:
        run: Folder of the finished run, as written in the recipe.
        load: Function from the name of a stage to its trained model.
    """

    run: str
    load: Callable[[str], keras.Model]

    def copy_to(self, model: keras.Model, stage: str) -> None:
        """Copies the floating-point weights of the run's model to a new model; integer counters are not copied.

        Weights are matched by their order, because Keras gives them other names in a loaded model.

        Raises:
            UserError: If the shapes of the two models' weights differ.
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
