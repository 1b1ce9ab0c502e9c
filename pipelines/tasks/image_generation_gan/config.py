"""The typed recipe of image generation by adversaries. Imports nothing heavy."""

from typing import Annotated, ClassVar, Literal, Self

import pydantic
from pydantic import Field

from ikelos.pipelines.image.config import GAN, ImageEvaluation, ImageSource, check_classes, halvings
from ikelos.pipelines.recipe.sections import AdversarialTraining, NonNegative, Positive, Section, TaskConfig


class Data(Section):
    """Where the images come from.

    Attributes:
        source: A TFDS name or file patterns, with the splits `train`, `validation` and `test`.
        shape: Height, width and channels that all are brought to; height and width are even, and at least 8.
    """

    source: ImageSource
    shape: tuple[Positive, Positive, Literal[1, 3]]

    @pydantic.model_validator(mode="after")
    def _shape_can_be_halved(self) -> Self:
        halvings(self.shape)
        return self


class Training(AdversarialTraining):
    """How the two are trained.

    Attributes:
        trouble_patience: Epochs in a row in which the discriminator has won, or the generator collapsed, that stop the
            run with advice; 0 disables.
    """

    FREE: ClassVar[tuple[str, ...]] = (*AdversarialTraining.FREE, "trouble_patience")

    trouble_patience: NonNegative


class Evaluation(ImageEvaluation):
    """How the generator is measured and shown.

    Attributes:
        images: Most test images to compare with, and as many samples.
        other_run: Folder of another run whose exported `sample` is measured too, such as one of `image_generation_vae`
            on the same data; null for none.
    """

    images: Annotated[int, Field(ge=8)]
    other_run: str | None


class Config(TaskConfig):
    """The recipe of image generation by adversaries."""

    TUNABLE = tuple(
        f"model.{key}" for key in ("loss", "r1", "r1_interval", "augmentation", "ema_momentum", "discriminator_steps")
    )

    data: Data
    model: GAN
    training: Training
    evaluation: Evaluation

    @pydantic.model_validator(mode="after")
    def _classes_for_a_conditional_model(self) -> Self:
        check_classes(self.model.conditional, self.data.source)
        return self
