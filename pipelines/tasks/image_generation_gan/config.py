"""The typed recipe of image generation with a GAN. Imports nothing heavy."""

from typing import Annotated, ClassVar, Literal, Self

import pydantic
from pydantic import Field

from ikelos.pipelines.image.config import GAN, ImageEvaluation, ImageExport, ImageSource, check_classes, halvings
from ikelos.pipelines.recipe.sections import AdversarialTraining, NonNegative, Positive, Section, TaskConfig


class Data(Section):
    """The images.

    Attributes:
        source: A TFDS name or file patterns, with the splits `train`, `validation` and `test`.
        shape: Height, width and channels to which all images are brought; height and width must be even and at least 8.
    """

    source: ImageSource
    shape: tuple[Positive, Positive, Literal[1, 3]]

    @pydantic.model_validator(mode="after")
    def _shape_can_be_halved(self) -> Self:
        halvings(self.shape)
        return self


class Training(AdversarialTraining):
    """Training of generator and discriminator.

    Attributes:
        trouble_patience: Number of consecutive epochs of trouble after which the run stops with advice; 0 never stops
            it. Trouble is a discriminator that has won, or a generator that has collapsed.
    """

    FREE: ClassVar[tuple[str, ...]] = (*AdversarialTraining.FREE, "trouble_patience")

    trouble_patience: NonNegative


class Evaluation(ImageEvaluation):
    """Evaluation of the generator.

    Attributes:
        images: Largest number of test images, which are compared with as many samples.
        other_run: Folder of another run, such as one of `image_generation_vae` on the same data, whose exported
            signature `sample` is measured too; null for none.
    """

    images: Annotated[int, Field(ge=8)]
    other_run: str | None


class Config(TaskConfig):
    """The recipe of image generation with a GAN."""

    TUNABLE = tuple(
        f"model.{key}" for key in ("loss", "r1", "r1_interval", "augmentation", "ema_momentum", "discriminator_steps")
    )

    data: Data
    model: GAN
    training: Training
    evaluation: Evaluation
    export: ImageExport

    @pydantic.model_validator(mode="after")
    def _classes_for_a_conditional_model(self) -> Self:
        check_classes(self.model.conditional, self.data.source)
        return self
