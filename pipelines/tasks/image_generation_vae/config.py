"""The typed recipe of image generation. Imports nothing heavy."""

from typing import Annotated, Literal, Self

import pydantic
from pydantic import Field

from ikelos.pipelines.image.config import ImageSource
from ikelos.pipelines.recipe.sections import (
    BelowOne,
    Export,
    NonNegative,
    NonNegativeFloat,
    Positive,
    PositiveFloat,
    Section,
    TaskConfig,
    Training,
)


class Augmentation(Section):
    """How training images are moved, each time anew. Validation and test images never are.

    A modelling choice: the model is told that a digit stays one when it is moved so. All are standard deviations, 0
    leaves it out.

    Attributes:
        rotation: In degrees.
        zoom: Of the logarithm of width and of height.
        shear: Pixels to the side for each pixel up.
        shift: In pixels.
    """

    rotation: NonNegativeFloat
    zoom: NonNegativeFloat
    shear: NonNegativeFloat
    shift: NonNegativeFloat


class Data(Section):
    """Where the images come from. Their pixels are made black or white (see `inputs`).

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


class NormalPrior(Section):
    """`ikelos.layers.StandardNormalPrior`."""

    kind: Literal["normal"]


class VampPrior(Section):
    """`ikelos.layers.VampPrior`; it begins with training images as pseudo-inputs."""

    kind: Literal["vamp"]
    num_components: Positive


class FlowPrior(Section):
    """`ikelos.layers.RealNVPPrior`."""

    kind: Literal["flow"]
    num_couplings: Positive
    hidden_units: tuple[Positive, ...]


class Model(Section):
    """A convolutional `ikelos.layers.VariationalAutoencoder`.

    Attributes:
        latent_size: Z.
        width: Channels at half the resolution; at a quarter there are twice as many.
        num_blocks: Residual blocks at each of these resolutions, in the encoder and in the decoder.
        hidden_size: Width of the dense layers between the convolutions and the latent values.
        dropout: Share of a block's inner channels' values dropped in training.
        prior: Of the latent values.
        conditional: Whether encoder and decoder are told the class.
        num_samples: Of the posterior in a training step: with more than one, the loss is the importance-weighted bound.
        free_bits: Nats of the divergence that cost nothing.
    """

    latent_size: Annotated[int, Field(ge=2)]
    width: Positive
    num_blocks: NonNegative
    hidden_size: Positive
    dropout: BelowOne
    prior: Annotated[NormalPrior | VampPrior | FlowPrior, Field(discriminator="kind")]
    conditional: bool
    num_samples: Positive
    free_bits: NonNegativeFloat

    @pydantic.model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        if self.conditional and self.prior.kind == "vamp":
            raise ValueError(
                "`prior.kind` must not be vamp with conditional=true: its pseudo-inputs have no class. "
                "Received: conditional=true, prior.kind=vamp"
            )
        if self.num_samples > 1 and self.free_bits:
            raise ValueError(
                "`free_bits` must be 0 with more than one sample. "
                f"Received: num_samples={self.num_samples}, free_bits={self.free_bits}"
            )
        return self


class Peer(Section):
    """A figure to stand beside ours in the report.

    Attributes:
        name: Of the model and of what it was trained on.
        nats_per_image: On its own test images.
    """

    name: str
    nats_per_image: PositiveFloat


class Evaluation(Section):
    """How the model is measured and shown.

    Attributes:
        num_samples: Of the posterior for the bound of an image's likelihood, K.
        samples_at_once: So many of them are decoded together.
        batch_size: Images in a step.
        mixture_components: Of the mixture of Bernoulli distributions, a baseline.
        pictures: Rows and columns of the report's samples.
        peers: Published figures.
    """

    num_samples: Positive
    samples_at_once: Positive
    batch_size: Positive
    mixture_components: Positive
    pictures: Annotated[int, Field(ge=2)]
    peers: tuple[Peer, ...]


class Config(TaskConfig):
    """The recipe of image generation."""

    data: Data
    model: Model
    training: Training
    evaluation: Evaluation
    export: Export

    @pydantic.model_validator(mode="after")
    def _classes_for_a_conditional_model(self) -> Self:
        if self.model.conditional and self.data.source.label_feature is None:
            raise ValueError(
                "`data.source.label_feature` must name the classes with model.conditional=true. Received: null"
            )
        return self
