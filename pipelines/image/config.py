"""Recipe sections that image tasks share. Imports nothing heavy."""

import operator
from collections.abc import Sequence
from typing import Annotated, Literal, Self, SupportsIndex

import pydantic
from pydantic import Field

from ikelos.pipelines.data.config import Source
from ikelos.pipelines.recipe.sections import (
    BelowOne,
    Evaluation,
    Export,
    NonNegative,
    NonNegativeFloat,
    Positive,
    PositiveFloat,
    Section,
)

Shape = tuple[int, int, int]
"""Shape (H, W, C) of an image, where C is 1 or 3."""


def as_shape(shape: Sequence[SupportsIndex]) -> Shape:
    """Returns a shape as Python integers.

    Raises:
        ValueError: If it is not the shape of an image.
    """
    sizes = tuple(map(operator.index, shape))
    if len(sizes) != 3 or min(sizes) < 1 or sizes[2] not in (1, 3):
        raise ValueError(f"`shape` must be a height, a width, and 1 or 3 channels. Received: shape={list(sizes)}")
    return sizes[0], sizes[1], sizes[2]


class ImageSource(Source):
    """Images, with or without classes.

    Attributes:
        image_feature: Name of the feature with the image; ignored for image files.
        label_feature: Name of the feature with the class; null for images without classes. For image files any name
            will do, and the class is the name of the file's folder.
        resize: Whether images of another height or width are resized, with antialiasing and without keeping their
            proportions. If false, they are faults (see `allowed_faults`).
    """

    image_feature: str = "image"
    label_feature: str | None = "label"
    resize: bool = True


class ImageExport(Export):
    """Export of the trained model.

    Attributes:
        max_bytes: Most bytes of an image file; a longer one is an error.
        max_pixels: Most pixels of an image file, by its header; one with more is an error.
    """

    max_bytes: Positive
    max_pixels: Positive


class Augmentation(Section):
    """Random transformations of training images, drawn anew each time. Validation and test images are left as they are.

    They are a modelling choice: they assume that a digit, for example, remains one when it is transformed like this.
    Each number is a standard deviation; 0 turns the transformation off.

    Attributes:
        rotation: Rotation in degrees.
        zoom: Change of the logarithm of the width and of the height.
        shear: Pixels sideways for each pixel upwards.
        shift: Shift in pixels.
    """

    rotation: NonNegativeFloat
    zoom: NonNegativeFloat
    shear: NonNegativeFloat
    shift: NonNegativeFloat


class ImageEvaluation(Evaluation):
    """Evaluation of models that generate images.

    Attributes:
        batch_size: Images in a batch.
        mixture_components: Components of the mixture of Bernoulli distributions that serves as baseline.
        mixture_images: Most training images to which the mixture is fitted; each of their pixels takes 40 bytes of
            memory.
        pictures: Number of rows and of columns of samples in the report.
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
    """Raises ValueError if a conditional model is to be trained on images without classes."""
    if conditional and source.label_feature is None:
        raise ValueError(
            "`data.source.label_feature` must name the classes with model.conditional=true. Received: null"
        )


class NormalPrior(Section):
    """`ikelos.layers.StandardNormalPrior`, which has no weights."""

    kind: Literal["normal"]


class VampPrior(Section):
    """`ikelos.layers.VampPrior`: a mixture of the posteriors of learned images, initialised with training images.

    Attributes:
        num_components: Number of learned images.
    """

    kind: Literal["vamp"]
    num_components: Positive


class FlowPrior(Section):
    """`ikelos.layers.RealNVPPrior`: a normal distribution, transformed by a sequence of coupling layers.

    Attributes:
        num_couplings: Number of coupling layers.
        hidden_units: Width of each hidden layer of a coupling layer's network.
    """

    kind: Literal["flow"]
    num_couplings: Positive
    hidden_units: tuple[Positive, ...]


class VAE(Section):
    """A convolutional `ikelos.layers.VariationalAutoencoder`.

    Attributes:
        latent_size: Number of latent values of an image.
        width: Channels at half the resolution; a quarter of the resolution has twice as many.
        num_blocks: Residual blocks at each of these resolutions, in the encoder and in the decoder.
        hidden_size: Width of the dense layers between the convolutions and the latent values.
        dropout: Dropout rate inside the residual blocks.
        prior: Prior distribution of the latent values.
        conditional: Whether encoder and decoder take the class as input.
        num_samples: Samples of the posterior in a training step. With more than one, the loss is the
            importance-weighted bound.
        free_bits: Nats of the divergence that do not raise the loss.
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
    """Returns how often images `(H, W, C)` can be halved with both sides remaining integers of at least 4.

    28 x 28 can be halved twice, to 7 x 7, and 32 x 48 three times, to 4 x 6.

    Raises:
        ValueError: If they cannot be halved once.
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
        latent_size: Number of random numbers from which an image is generated.
        generator_width: Channels of the generator at half the resolution; they double with each halving.
        discriminator_width: Channels of the discriminator at half the resolution; they double with each halving.
        max_width: Upper limit of the channels of both networks at every resolution.
        num_blocks: Residual blocks at each resolution, in both networks.
        hidden_size: Width of the discriminator's layer before the last.
        loss: Loss of both networks: `non_saturating` (Goodfellow et al. 2014, section 3) or `hinge`.
        r1: Weight of the penalty on the discriminator's gradient at real images. It must be positive: without it
            training need not converge even in the simplest case (Mescheder et al. 2018, section 2).
        r1_interval: Number of steps from one penalty to the next; the penalty is multiplied by it.
        augmentation: Policies of `ikelos.layers.DifferentiableAugmentation`, in the order in which they are applied to
            all images that the discriminator sees in training.
        ema_momentum: Momentum of the moving average of the generator's weights, which all samples outside training use.
        discriminator_steps: Updates of the discriminator for each update of the generator.
        conditional: Whether generator and discriminator take the class as input.
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
