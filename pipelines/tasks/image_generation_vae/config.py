"""The typed recipe of image generation with a variational autoencoder. Imports nothing heavy."""

from typing import Literal, Self

import pydantic

from ikelos.pipelines.image.config import VAE, Augmentation, ImageEvaluation, ImageExport, ImageSource, check_classes
from ikelos.pipelines.recipe.sections import PlainTraining, Positive, Section, TaskConfig


class Data(Section):
    """The images, whose pixels are drawn black or white: the lighter a pixel, the more likely it is white.

    Attributes:
        source: A TFDS name or file patterns, with the splits `train`, `validation` and `test`.
        shape: Height, width and channels to which all images are brought; height and width must be multiples of 4.
        augmentation: Random transformations of the training images.
    """

    source: ImageSource
    shape: tuple[Positive, Positive, Literal[1, 3]]
    augmentation: Augmentation

    @pydantic.model_validator(mode="after")
    def _shape_can_be_halved_twice(self) -> Self:
        if self.shape[0] % 4 or self.shape[1] % 4:
            raise ValueError(f"height and width of `shape` must be multiples of 4. Received: shape={list(self.shape)}")
        return self


class Evaluation(ImageEvaluation):
    """Evaluation of the model.

    Attributes:
        num_samples: Samples of the posterior for the bound of an image's likelihood.
        samples_at_once: Number of samples that are decoded together.
    """

    num_samples: Positive
    samples_at_once: Positive


class Config(TaskConfig):
    """The recipe of image generation with a variational autoencoder."""

    TUNABLE = ("model.dropout", "model.num_samples", "model.free_bits")

    data: Data
    model: VAE
    training: PlainTraining
    evaluation: Evaluation
    export: ImageExport

    @pydantic.model_validator(mode="after")
    def _classes_for_a_conditional_model(self) -> Self:
        check_classes(self.model.conditional, self.data.source)
        return self
