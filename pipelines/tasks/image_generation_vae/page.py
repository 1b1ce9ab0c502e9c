"""The report of an image model, made of the report's sections."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ikelos.layers import VariationalAutoencoder
from ikelos.pipelines.data.config import Split
from ikelos.pipelines.image.reading import Images as Pixels
from ikelos.pipelines.report import figures
from ikelos.pipelines.report.machine import machine_table
from ikelos.pipelines.report.sections import Column, Headline, Images, Picture, Section, Table, Tile
from ikelos.pipelines.tasks.image_generation_vae import curves, pictures
from ikelos.pipelines.tasks.image_generation_vae.config import Config

_COLUMNS = 10
_WALKS = 5


def build(
    config: Config,
    results: dict[str, Any],
    history: Sequence[dict[str, Any]],
    model: VariationalAutoencoder,
    splits: Mapping[Split, Pixels],
    fixed: Pixels,
    num_classes: int,
) -> tuple[str, dict[str, Any], list[Section]]:
    """Title, all figures, and the sections of the page.

    Args:
        config: The recipe.
        results: What `evaluate` and `baselines` gave, and the machine.
        history: The stage's `history.jsonl`.
        model: The trained model.
        splits: All images, in shades.
        fixed: The test images, with the black and white pixels that all figures are about.
        num_classes: Of a conditional model, else 0.
    """
    last = history[-1]
    training = {
        "steps": last["step"],
        "images": last["units"],
        "epochs": last["units"] / len(splits["train"].pixels),
        "minutes": last["seconds"] / 60,
        "images_per_second": last["units"] / last["seconds"],
    }
    samples = pictures.samples(model, config.evaluation.pictures, num_classes)
    copies, copied = _nearest(samples, splits)
    facts = {
        **results,
        "training": training,
        "nearest_training_image": copied,
        "peers": [peer.model_dump() for peer in config.evaluation.peers],
        "recipe": config.model_dump(mode="json"),
    }
    sections: list[Section] = [
        Headline(tiles=_tiles(results, training)),
        _samples(samples, num_classes),
        copies,
        *_latent(config, model, splits["test"], fixed, num_classes),
        _comparison(config, results, training["minutes"], len(splits["train"].pixels)),
        *_classes(results),
        Picture(
            heading="Training",
            prose=[
                f"{training['images']:,} images seen, each training image {training['epochs']:.0f} times, "
                f"{training['images_per_second']:,.0f} a second."
            ],
            figure=figures.training_curves(history, config.training.clip_norm, "nats per image"),
            alt="Loss, gradient norm with clipped steps, and learning rate over the training steps.",
        ),
        Picture(
            heading="Is the latent space used?",
            prose=[
                "A unit is active if the variance of its posterior's mean over the images is above 0.01 (Burda et al. "
                "2016, section 5.2). No active unit and no divergence would be a collapsed posterior: a decoder that "
                f"does without latent values. On the test images, {results['model']['active_units']} of "
                f"{results['model']['latent_size']} units are active. The curves are of the validation images and the "
                "averaged weights.",
            ],
            figure=curves.parts(
                [record for record in history if record["event"] == "epoch"], results["model"]["latent_size"]
            ),
            alt="Reconstruction, divergence and the number of active units over the training steps.",
        ),
        machine_table(results),
    ]
    return f"Variational autoencoder: {config.data.source.tfds or 'files'}", facts, sections


def _tiles(results, training):
    model, machine = results["model"], results["machine"]
    best = min(values["nats_per_image"] for values in results["baselines"].values())
    return [
        Tile(f"{model['nats_per_image']:.2f}", "nats per image", f"best without a network: {best:.2f}"),
        Tile(f"{model['bits_per_pixel']:.3f}", "bits per pixel"),
        Tile(f"{model['active_units']} of {model['latent_size']}", "active units"),
        Tile(
            f"{training['minutes']:.1f} min",
            "of training",
            f"on a machine with {machine['sgemm_gflops']:.0f} GFLOP/s",
        ),
        Tile(f"{model['parameters'] / 1e6:.2f} M", "parameters"),
    ]


def _samples(samples, num_classes):
    columns = " In each column, the class it was asked for." if num_classes else ""
    return Images(
        heading="What it draws",
        prose=[
            f"The first {samples.shape[0] * samples.shape[1]} samples of a fixed seed, none picked by hand; shown is "
            f"the probability that a pixel is white.{columns}"
        ],
        images=samples,
        alt=f"A grid of {samples.shape[0]} by {samples.shape[1]} images that the model generated.",
    )


def _nearest(samples, splits):
    """The section, and the distances as facts."""
    shown = samples[:, :_COLUMNS].reshape(-1, *samples.shape[2:])[: 3 * _COLUMNS]
    count = len(shown) // 3 * 3
    train, test = splits["train"].pixels, splits["test"].pixels
    place, _ = pictures.nearest(shown[:count], train)
    rows = []
    for part, nearest in zip(np.split(shown[:count], 3), np.split(train[place], 3), strict=True):
        rows += [part, nearest]
    distances = {
        "samples": float(np.median(pictures.nearest(samples.reshape(-1, *samples.shape[2:]), train)[1])),
        "test": float(np.median(pictures.nearest(test, train)[1])),
    }
    section = Images(
        heading="Does it copy?",
        prose=[
            "Below each sample, the training image that is nearest to it (Euclidean distance of the shades). The "
            f"median distance is {distances['samples']:.2f} for all samples, {distances['test']:.2f} for test images; "
            "a copy would have 0. Samples are smoother than images, and so nearer to everything."
        ],
        images=np.stack(rows),
        row_titles=["samples", "nearest"] * 3,
        alt="Rows of samples, and below each the nearest training image.",
    )
    return section, distances


def _latent(config, model, test, fixed, num_classes):
    """Reconstructions, walks and traversals; images are taken as they come."""
    classes = tf.one_hot(test.labels, num_classes) if num_classes else None

    def of(rows):
        return None if classes is None else classes[rows]

    count = min(_COLUMNS, len(test.pixels))
    pairs = min(_WALKS, len(test.pixels) // 2)
    starts, ends = slice(0, 2 * pairs, 2), slice(1, 2 * pairs, 2)
    first = slice(0, count)
    return [
        Images(
            heading="Reconstructions",
            prose=["The first test images: as they are, as the black and white pixels that it sees, and rebuilt."],
            images=pictures.reconstructions(model, test.pixels[first], fixed.pixels[first], of(first)),
            row_titles=["image", "pixels", "rebuilt"],
            alt="Test images, their black and white pixels, and the model's reconstructions.",
        ),
        Images(
            heading="From one image to another",
            prose=["Decoded on the straight line between the latent values of two test images."],
            images=pictures.walks(model, fixed.pixels[starts], fixed.pixels[ends], _COLUMNS, of(starts)),
            alt="Rows of images, each changing by steps from one test image's reconstruction into another's.",
        ),
        Images(
            heading="One latent value at a time",
            prose=[
                "The first test image, with one latent value moved from two standard deviations below its mean over "
                f"the test images to two above: those {_WALKS} that vary most."
            ],
            images=pictures.traversals(model, fixed.pixels, _WALKS, _COLUMNS, of(slice(None))),
            alt="Rows of images, each showing how one latent value changes a digit or letter.",
        ),
    ]


def _comparison(config, results, minutes, train_size):
    model = results["model"]
    bars = [
        figures.Bar("Ikelos, this recipe", model["nats_per_image"], minutes, "ours"),
        *(
            figures.Bar(name, values["nats_per_image"], values["minutes"], "baseline")
            for name, values in results["baselines"].items()
        ),
        *(figures.Bar(peer.name, peer.nats_per_image, None, "peer") for peer in config.evaluation.peers),
    ]
    prose = [
        f"What an image of the test split ({model['images']:,}) costs: for the model, the importance-weighted bound of "
        f"its likelihood with {model['num_samples']} samples (Burda et al. 2016, equation 8; standard error over the "
        f"images {model['standard_error']:.2f}), and exactly for those without a network, which learned from the same "
        f"{train_size:,} training images. A pixel of shade s of 255 is white with probability s / 255: drawn once for "
        "the test and for those without a network, while the model saw training images drawn anew each time."
    ]
    if config.evaluation.peers:
        best = min(config.evaluation.peers, key=lambda peer: peer.nats_per_image)
        worst = max(config.evaluation.peers, key=lambda peer: peer.nats_per_image)
        prose.append(
            "Published figures are of other training and test images, and so no fair race: this run is at "
            f"{model['nats_per_image'] - best.nats_per_image:+.2f} nats from {best.name} and at "
            f"{model['nats_per_image'] - worst.nats_per_image:+.2f} from {worst.name}."
        )
    return Picture(
        heading="Against baselines and published figures",
        prose=prose,
        figure=figures.comparison(bars, "nats per image"),
        alt="Nats per image: " + "; ".join(f"{bar.label} {bar.value:.2f}" for bar in bars),
    )


def _classes(results):
    """A table of up to 30 classes; those of a data set with thousands stand in report.json alone."""
    classes, baselines = results["model"]["classes"], results["baselines"]
    if not 0 < len(classes) <= 30:
        return []
    return [
        Table(
            heading="By class",
            columns=[
                Column("Class"),
                Column("Images", ",d"),
                Column("Nats per image", ".2f"),
                *(Column(f"{name}, nats", ".2f") for name in baselines),
            ],
            rows=[
                [
                    name,
                    values["images"],
                    values["nats_per_image"],
                    *(others["classes"][name]["nats_per_image"] for others in baselines.values()),
                ]
                for name, values in classes.items()
            ],
        )
    ]
