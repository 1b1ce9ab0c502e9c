"""Sections of recipes of image tasks. Imports nothing heavy."""

import operator
from collections.abc import Sequence
from typing import Annotated, Literal, Self, SupportsIndex

import pydantic
from pydantic import Field

from ikelos.pipelines.data.config import Source
from ikelos.pipelines.recipe.sections import (
    BelowOne,
    Evaluation,
    NonNegative,
    NonNegativeFloat,
    Positive,
    PositiveFloat,
    Section,
)

Shape = tuple[int, int, int]
"""H, W, C of images, of which C is 1 or 3."""


def as_shape(shape: Sequence[SupportsIndex]) -> Shape:
    """A shape whose sizes may be NumPy's.

    Raises:
        ValueError: If it is none.
    """
    sizes = tuple(map(operator.index, shape))
    if len(sizes) != 3 or min(sizes) < 1 or sizes[2] not in (1, 3):
        raise ValueError(f"`shape` must be a height, a width, and 1 or 3 channels. Received: shape={list(sizes)}")
    return sizes[0], sizes[1], sizes[2]


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


class ImageEvaluation(Evaluation):
    """How a model that makes images is measured and shown.

    Attributes:
        batch_size: Images in a step.
        mixture_components: Of the mixture of Bernoulli distributions, a baseline.
        mixture_images: Most training images that it is fitted on; it takes 40 bytes of memory for each of their pixels.
        pictures: Rows and columns of the report's samples.
    """

    batch_size: Annotated[int, Field(ge=2)]
    mixture_components: Positive
    mixture_images: Positive
    pictures: Annotated[int, Field(ge=2)]

    @pydantic.model_validator(mode="after")
    def _an_image_for_each_component(self) -> Self:
        if self.mixture_components > self.mixture_images:
            raise ValueError(
                f"`mixture_components` must be at most mixture_images={self.mixture_images}. "
                f"Received: mixture_components={self.mixture_components}"
            )
        return self


def check_classes(conditional: bool, source: ImageSource) -> None:
    """Raises ValueError if a model is to be told classes of images that have none."""
    if conditional and source.label_feature is None:
        raise ValueError(
            "`data.source.label_feature` must name the classes with model.conditional=true. Received: null"
        )


class NormalPrior(Section):
    """`ikelos.layers.StandardNormalPrior`: nothing to learn."""

    kind: Literal["normal"]


class VampPrior(Section):
    """`ikelos.layers.VampPrior`: a mixture of the posteriors of learned images, which begin as training images.

    Attributes:
        num_components: How many learned images.
    """

    kind: Literal["vamp"]
    num_components: Positive


class FlowPrior(Section):
    """`ikelos.layers.RealNVPPrior`: a normal distribution, moved by invertible networks.

    Attributes:
        num_couplings: How many such networks, one behind the other.
        hidden_units: Width of each hidden layer of such a network.
    """

    kind: Literal["flow"]
    num_couplings: Positive
    hidden_units: tuple[Positive, ...]


class VAE(Section):
    """A convolutional `ikelos.layers.VariationalAutoencoder`.

    Attributes:
        latent_size: Latent values of an image.
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


def halvings(shape: Shape) -> int:
    """How often images `(H, W, C)` can be halved: 28 x 28 twice, to 7 x 7, and 32 x 48 three times, to 4 x 6.

    Both sides stay whole, and at least 4.

    Raises:
        ValueError: Not even once.
    """
    height, width, _ = shape
    count = 0
    while height % 2 == width % 2 == 0 and min(height, width) >= 8:
        height, width, count = height // 2, width // 2, count + 1
    if not count:
        raise ValueError(f"height and width of `shape` must be even, and at least 8. Received: shape={list(shape)}")
    return count


class GAN(Section):
    """A convolutional `ikelos.layers.AdversarialModel`.

    Attributes:
        latent_size: Random numbers that an image is made from.
        generator_width: Channels of the generator at half the resolution; at each lower one there are twice as many.
        discriminator_width: The same of the discriminator.
        max_width: Most channels of both, at any resolution.
        num_blocks: Residual blocks at each resolution, in both.
        hidden_size: Width of the discriminator's last layer but one.
        loss: `"non_saturating"` or `"hinge"`; equations in `layers/adversarial/losses.py`.
        r1: Weight of the penalty on the discriminator's slope at real images. It must be positive: without it training
            need not converge even in the simplest case (Mescheder et al. 2018, section 2).
        r1_interval: Every how many steps the penalty counts, as many times.
        augmentation: Of all that the discriminator sees in training, by
            `ikelos.layers.DifferentiableAugmentation`: names among its policies, in their order.
        ema_momentum: Of the moving average of the generator, which makes all samples outside training.
        discriminator_steps: Updates of the discriminator for one of the generator.
        conditional: Whether generator and discriminator are told the class.
    """

    latent_size: Positive
    generator_width: Positive
    discriminator_width: Positive
    max_width: Positive
    num_blocks: NonNegative
    hidden_size: Positive
    loss: Literal["non_saturating", "hinge"]
    r1: PositiveFloat
    r1_interval: Positive
    augmentation: tuple[Literal["color", "translation", "cutout"], ...]
    ema_momentum: BelowOne
    discriminator_steps: Positive
    conditional: bool

    @pydantic.model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        widest = max(self.generator_width, self.discriminator_width)
        if self.max_width < widest:
            raise ValueError(
                f"`max_width` must be at least both widths, {widest}. Received: max_width={self.max_width}, "
                f"generator_width={self.generator_width}, discriminator_width={self.discriminator_width}"
            )
        if len(set(self.augmentation)) < len(self.augmentation):
            raise ValueError(
                f"`augmentation` must name each change once. Received: augmentation={list(self.augmentation)}"
            )
        return self
