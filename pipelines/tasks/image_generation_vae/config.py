"""The typed recipe of image generation. Imports nothing heavy."""

from typing import Annotated, Literal, Self

import pydantic
from pydantic import Field

from ikelos.pipelines.image.config import VAE, Augmentation, ImageSource
from ikelos.pipelines.recipe import sections
from ikelos.pipelines.recipe.sections import PlainTraining, Positive, Section, TaskConfig


class Data(Section):
    """Where the images come from. Their pixels are made black or white (see `image.binary`).

    Attributes:
        source: A TFDS name or file patterns, with the splits `train`, `validation` and `test`.
        shape: Height, width and channels that all are brought to; height and width are multiples of 4.
        augmentation: Of the training images.
    """

    source: ImageSource
    shape: tuple[Positive, Positive, Literal[1, 3]]
    augmentation: Augmentation

    @pydantic.model_validator(mode="after")
    def _shape_can_be_halved_twice(self) -> Self:
        if self.shape[0] % 4 or self.shape[1] % 4:
            raise ValueError(f"height and width of `shape` must be multiples of 4. Received: shape={list(self.shape)}")
        return self


class Evaluation(sections.Evaluation):
    """How the model is measured and shown.

    Attributes:
        num_samples: Of the posterior for the bound of an image's likelihood, K.
        samples_at_once: So many of them are decoded together.
        batch_size: Images in a step.
        mixture_components: Of the mixture of Bernoulli distributions, a baseline.
        mixture_images: Most training images that it is fitted on; it takes 40 bytes of memory for each of their pixels.
        pictures: Rows and columns of the report's samples.
    """

    num_samples: Positive
    samples_at_once: Positive
    batch_size: Positive
    mixture_components: Positive
    mixture_images: Positive
    pictures: Annotated[int, Field(ge=2)]


class Config(TaskConfig):
    """The recipe of image generation."""

    data: Data
    model: VAE
    training: PlainTraining
    evaluation: Evaluation

    @pydantic.model_validator(mode="after")
    def _an_image_for_each_component(self) -> Self:
        if self.evaluation.mixture_components > self.evaluation.mixture_images:
            raise ValueError(
                "`evaluation.mixture_components` must be at most evaluation.mixture_images="
                f"{self.evaluation.mixture_images}. Received: {self.evaluation.mixture_components}"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _classes_for_a_conditional_model(self) -> Self:
        if self.model.conditional and self.data.source.label_feature is None:
            raise ValueError(
                "`data.source.label_feature` must name the classes with model.conditional=true. Received: null"
            )
        return self
