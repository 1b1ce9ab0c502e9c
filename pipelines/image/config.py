"""Sections of recipes of image tasks. Imports nothing heavy."""

from typing import Annotated, Literal, Self

import pydantic
from pydantic import Field

from ikelos.pipelines.data.config import Source
from ikelos.pipelines.recipe.sections import BelowOne, NonNegative, NonNegativeFloat, Positive, Section


class ImageSource(Source):
    """Images, with or without classes.

    Attributes:
        image_feature: the feature that holds the image; of no meaning for image files.
        label_feature: the feature that holds the class (of image files: any name, and their folder's name is the
            class); null for images without classes.
        resize: whether images of another height or width are resized, with antialiasing and not keeping their
            proportions; else they are faults (see `allowed_faults`).
    """

    image_feature: str = "image"
    label_feature: str | None = "label"
    resize: bool = True


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


class VAE(Section):
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
