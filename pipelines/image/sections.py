"""Report sections of models that generate images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ikelos.pipelines.image import pictures
from ikelos.pipelines.image.pictures import Decode
from ikelos.pipelines.report.charts import Panel, epoch_curves
from ikelos.pipelines.report.sections import Film, Images, Picture

COLUMNS, ROWS = 10, 5
"""Columns and rows of images, except in the grid of samples."""
_FRAMES = 24
"""Most frames of a film, not counting the last epoch's."""
_COMPARED = 1000
"""Most test images that are compared with all training images."""


def drawn(samples: np.ndarray, about: str, by_class: bool) -> Images:
    """Returns the section with the grid of samples.

    Args:
        samples: Grid of samples, uint8 `[rows,columns,H,W,C]`.
        about: Sentence about the shades of the samples.
        by_class: Whether all samples of a column have the same class.
    """
    columns = " Each column was generated for one class." if by_class else ""
    return Images(
        heading="Generated images",
        prose=[
            f"The first {samples.shape[0] * samples.shape[1]} samples of a fixed seed, not selected. {about}{columns}"
        ],
        images=samples,
        alt=f"A grid of {samples.shape[0]} by {samples.shape[1]} images that the model generated.",
    )


def distances(samples: np.ndarray, training: np.ndarray, test: np.ndarray) -> dict[str, float]:
    """Returns the median distance to the nearest training image, for the grid's samples and the first test images."""
    flat, test = samples.reshape(-1, *samples.shape[2:]), test[:_COMPARED]
    return {
        name: float(np.median(pictures.nearest(images, training)[1]))
        for name, images in (("samples", flat), ("test", test))
    }


def copies(samples: np.ndarray, training: np.ndarray, medians: Mapping[str, float]) -> Images:
    """Returns the section with samples and their nearest training images; `medians` is the result of `distances`."""
    shown = samples[:, :COLUMNS].reshape(-1, *samples.shape[2:])[: 3 * COLUMNS]
    shown = shown[: len(shown) // 3 * 3]
    place, _ = pictures.nearest(shown, training)
    rows: list[np.ndarray] = []
    for part, nearest in zip(np.split(shown, 3), np.split(training[place], 3), strict=True):
        rows += [part, nearest]
    return Images(
        heading="Nearest training images",
        prose=[
            "Below each sample is the training image nearest to it (Euclidean distance of the shades). The median "
            f"distance is {medians['samples']:.2f} for all samples and {medians['test']:.2f} for test images; a copy "
            "of a training image would have 0. Samples are smoother than images, and therefore nearer to all images."
        ],
        images=np.stack(rows),
        row_titles=["samples", "nearest"] * 3,
        alt="Rows of samples, and below each the nearest training image.",
    )


def rebuilt(images: np.ndarray, seen: np.ndarray, reconstructions: tf.Tensor) -> Images:
    """Returns the section with images uint8 `[N,H,W,C]`, their pixels (0 or 1) and their reconstructions (0 to 1)."""
    rows = [images, pictures.to_uint8(seen), pictures.to_uint8(reconstructions)]
    return Images(
        heading="Reconstructions",
        prose=["The first test images, the black and white pixels that the model sees, and its reconstructions."],
        images=np.stack([row[:COLUMNS] for row in rows]),
        row_titles=["image", "pixels", "reconstruction"],
        alt="Test images, their black and white pixels, and the model's reconstructions.",
    )


OF_IMAGES = (
    "between the latent values of two test images",
    "The first test image, with one latent value moved from two standard deviations below its mean over the test "
    "images to two above",
)
OF_LATENTS = (
    "between two latent values drawn at random",
    "One sample, with one latent value moved from two standard deviations below the mean of some samples to two above",
)
"""Words for `latent_space`, with those above: the ends of its interpolations, and the image that it changes."""


def latent_space(
    decode: Decode, means: np.ndarray, classes: tf.Tensor | None, words: tuple[str, str] = OF_IMAGES
) -> list[Images]:
    """Returns a section of interpolations between images, and one that changes a single latent value of an image.

    Both show the first rows of `means`, so the images are not selected.

    Args:
        decode: The model's decoder.
        means: Latent values, float32 `[N,Z]`: means of the posterior for test images, or values drawn at random.
        classes: One-hot classes of the rows of `means`, `[N,classes]`; None for an unconditional model.
        words: The words of the two sections: `OF_IMAGES` if `means` belong to test images, `OF_LATENTS` if they were
            drawn at random.
    """
    walked, moved = words
    pairs = min(ROWS, len(means) // 2)
    starts, ends = slice(0, 2 * pairs, 2), slice(1, 2 * pairs, 2)
    walked_classes = None if classes is None else classes[starts]
    return [
        Images(
            heading="From one image to another",
            prose=[f"Decoded on the straight line {walked}."],
            images=pictures.walks(decode, means[starts], means[ends], COLUMNS, walked_classes),
            alt="Rows of images, each changing by steps from one image into another.",
        ),
        Images(
            heading="One latent value at a time",
            prose=[f"{moved}: those {min(ROWS, means.shape[1])} that vary most."],
            images=pictures.traversals(decode, means, ROWS, COLUMNS, classes),
            alt="Rows of images, each showing how one latent value changes an image.",
        ),
    ]


def film(folder: Path, history: Sequence[Mapping[str, Any]]) -> list[Film]:
    """Returns the film of the grid of samples over the training, from the pictures that a stage wrote after epochs.

    The list is empty if there are no pictures: the user may have deleted them before the report is made again.

    Args:
        folder: Folder of the stage.
        history: Records of the stage.
    """
    epochs = [
        record
        for record in history
        if record["event"] == "epoch" and "picture" in record and (folder / record["picture"]).is_file()
    ]
    if not epochs:
        return []
    shown = epochs[:: -(-len(epochs) // _FRAMES)]
    shown += epochs[-1:] if shown[-1] is not epochs[-1] else []
    frames = [tf.io.decode_png((folder / record["picture"]).read_bytes()).numpy() for record in shown]
    return [
        Film(
            heading="Samples during training",
            prose=[f"The same samples after {', '.join(format(record['step'], ',') for record in shown)} steps."],
            frames=np.stack(frames),
            alt="The grid of samples, from noise to the images above.",
        )
    ]


def adversaries(history: Sequence[Mapping[str, Any]]) -> Picture:
    """Returns curves that show whether the discriminator has won or the generator has collapsed."""
    return Picture(
        heading="Balance of generator and discriminator",
        prose=[
            "Shares of the validation images, and of as many samples of the averaged generator, that the discriminator "
            "classifies correctly, without augmentation; and how different the samples are from each other, relative "
            "to the images. If the discriminator classified nearly all correctly, the generator would learn no more. "
            "If the samples were much less diverse than the images, the generator would have collapsed."
        ],
        figure=epoch_curves(
            [dict(record) for record in history if record["event"] == "epoch"],
            [
                Panel("validation_real_accuracy", "Validation images that the discriminator takes for real", 1),
                Panel("validation_fake_accuracy", "Samples that the discriminator takes for generated", 1),
                Panel("validation_diversity", "Diversity of the samples (1: as diverse as the images)"),
            ],
        ),
        alt="The discriminator's accuracy and the diversity of samples over the training steps.",
    )


def latent_usage(figures: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> Picture:
    """Returns curves that show how much of a variational autoencoder's latent space is used."""
    active, size = figures["active_units"], figures["latent_size"]
    epochs = [dict(record) for record in history if record["event"] == "epoch"]
    return Picture(
        heading="Use of the latent space",
        prose=[
            "A unit is active if the variance of its posterior's mean over the images is above 0.01 (Burda et al. "
            "2016, section 5.2). No active unit and no divergence would be a collapsed posterior: a decoder that "
            f"does without latent values. On the test images, {active} of {size} units are active. The curves are "
            "of the validation images and the averaged weights.",
        ],
        figure=epoch_curves(
            epochs,
            [
                Panel("validation_nll", "Reconstruction, nats per image"),
                Panel("validation_kl", "Divergence from the prior, nats per image"),
                Panel("validation_active_units", f"Active units of {size}", size),
            ],
        ),
        alt="Reconstruction, divergence and the number of active units over the training steps.",
    )
