"""Initial weights of a stage from another run."""

import dataclasses
import itertools
from collections.abc import Callable

import keras

from ikelos.pipelines.errors import UserError


@dataclasses.dataclass(frozen=True)
class Choice:
    """How a recipe chose the run that gives another run its initial weights, for errors.

    Attributes:
        rule: What must be, up to the word for the run, such as "`from` must be a run".
        received: What the recipe says, such as `from=runs/a`.
    """

    rule: str
    received: str

    def refused(self, fitting: str, about: str = "") -> UserError:
        """Returns the error for a run that does not fit.

        Args:
            fitting: Words that follow the rule, such as `of the same architecture`.
            about: Words that follow what was received.
        """
        return UserError(f"{self.rule} {fitting}. Received: {self.received}{about}")


@dataclasses.dataclass(frozen=True)
class Start:
    """A finished run that gives another run its initial weights.

    Attributes:
        choice: How the recipe chose the run.
        load: Function from the name of a stage to its trained model.
    """

    choice: Choice
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
                raise self.choice.refused(
                    f"of the same architecture: in stage {stage!r}, {path} is {shapes[1]} there and {shapes[0]} here"
                )
        for here, there in pairs:
            if keras.backend.is_float_dtype(here.dtype):
                here.assign(there)
