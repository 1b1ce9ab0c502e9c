"""Image generation with a variational autoencoder, from images to a served model."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ikelos.pipelines import task
from ikelos.pipelines.data import known
from ikelos.pipelines.data.store import Splits, Store
from ikelos.pipelines.evaluation import bernoulli, bound, by_class
from ikelos.pipelines.image import binary, pictures, sections, vae
from ikelos.pipelines.image.generation import ImageGeneration
from ikelos.pipelines.image.preprocessing import ImagePreprocessing
from ikelos.pipelines.metric import Metric
from ikelos.pipelines.recipe.sections import Peer
from ikelos.pipelines.report.sections import Section
from ikelos.pipelines.report.tiles import tiled
from ikelos.pipelines.tasks.image_generation_vae import serving
from ikelos.pipelines.tasks.image_generation_vae.config import Config
from ikelos.pipelines.training.stage import Feed, Models, Stage, keras_batches
from ikelos.serving import Signature

STAGE = vae.NAME
_SEED = 0
"""Seed of the samples that are shown."""
_LOOKED_AT = 1000
"""Test images whose latent values are used for the report's pictures."""


class Task(ImageGeneration, task.Task[Config, ImagePreprocessing]):
    """Image generation with a variational autoencoder."""

    metrics = (
        Metric("nats_per_image", "nats per image", ".2f"),
        Metric("bits_per_pixel", "bits per pixel"),
        Metric("active_units", "active units", ",d", better="more"),
    )
    counted = "images"
    breakdown = task.Breakdown("classes", "class", shown=30)
    is_mean = True

    @property
    def title(self) -> str:
        """Title of the report."""
        return f"Variational autoencoder: {self.config.data.source.title('images')}"

    @property
    def known_peers(self) -> Sequence[Peer]:
        """Published models on this data set; none if their images have another shape."""
        found = known.of(self.config.data.source)
        return found.peers.get(self.metrics[0].name, ()) if found.shape == self.config.data.shape else ()

    def stages(self, preprocessing: ImagePreprocessing) -> list[Stage]:
        """Returns the one stage, in which the model learns to generate images."""
        return [
            Stage(
                name=STAGE,
                training=self.config.training,
                build=lambda _: vae.build(self.config.model, self.config.data.shape, len(self.classes(preprocessing))),
                feed=lambda splits, _: self._feed(preprocessing, splits),
                unit="images",
                metric=Metric("loss", "nats per image"),
            )
        ]

    def _feed(self, preprocessing: ImagePreprocessing, splits: Splits) -> Feed:
        train, training, num_classes = splits["train"], self.config.training, len(self.classes(preprocessing))
        augmentation, batch_size, seed = self.config.data.augmentation, training.batch_size, training.seed
        bernoulli.check_components(self.config.evaluation.mixture_components, len(train))
        return Feed(
            train=lambda step, shard: binary.training(train, augmentation, batch_size, seed, step, shard, num_classes),
            validation=binary.in_order(splits["validation"], self.config.evaluation.batch_size, num_classes),
            units_per_step=batch_size,
            units=len(train),
            samples=lambda trained: tiled(self._grid(preprocessing, trained)),
            initialize=lambda model: vae.initialize(model, train.array("image"), seed),
        )

    def _grid(self, preprocessing, trained):
        return pictures.grid(
            lambda number, condition: trained.sample(number, condition, seed=_SEED),
            self.config.evaluation.pictures,
            len(self.classes(preprocessing)),
        )

    def evaluate(self, preprocessing: ImagePreprocessing, splits: Splits, models: Models) -> task.Figures:
        """Returns the bound of the test images' likelihood, in all, by class and by image, and the terms of the loss.

        Raises:
            FloatingPointError: If the likelihood of an image is not finite.
        """
        trained, train, test, settings = models[STAGE], splits["train"], splits["test"], self.config.evaluation
        dataset = binary.in_order(test, settings.batch_size, len(self.classes(preprocessing)))
        nats = bound.costs(trained, dataset, test.ids, settings.num_samples, settings.samples_at_once)
        logs = trained.evaluate(keras_batches(dataset), verbose=0, return_dict=True)
        return {
            **_figures(preprocessing, test, nats),
            "nats_by_image": nats.tolist(),
            "training_images": len(train),
            "num_samples": settings.num_samples,
            "negative_elbo": logs["nll"] + logs["kl"],
            "nll": logs["nll"],
            "kl": logs["kl"],
            "active_units": int(logs["active_units"]),
            "latent_size": self.config.model.latent_size,
            "nearest_training_image": sections.distances(
                self._grid(preprocessing, trained), train.array("image"), test.array("image")
            ),
        }

    def by_example(self, figures: task.Figures) -> task.ByExample:
        """Returns the bound of each image, all with the same weight."""
        nats = np.array(figures["nats_by_image"], np.float64)
        return task.ByExample(nats, np.ones_like(nats))

    def baselines(self, preprocessing: ImagePreprocessing, splits: Splits) -> dict[str, task.Figures]:
        """Returns the figures of two models without a network: independent pixels, and a mixture of such models."""
        most, components = self.config.evaluation.mixture_images, self.config.evaluation.mixture_components
        train, test = binary.fixed_pixels(splits["train"], most), binary.fixed_pixels(splits["test"])
        result = {}
        for number in (1, components):
            start = time.monotonic()
            fitted = bernoulli.fit(train, number)
            minutes = (time.monotonic() - start) / 60
            nats = -fitted.log_probabilities(test)
            name = bernoulli.name(number, len(train), len(splits["train"]))
            result[name] = {**_figures(preprocessing, splits["test"], nats), "minutes": minutes}
        return result

    def signatures(self, preprocessing: ImagePreprocessing, models: Models) -> list[Signature]:
        """Returns the signatures of scores, latent values, reconstructions and new images."""
        return serving.signatures(models[STAGE], self.image_signatures(preprocessing))

    def about_result(self, results: Mapping[str, Any]) -> str:
        """Returns a note with the number of samples of the bound."""
        return f"bound of {results['model']['num_samples']} samples"

    def about_comparison(self, results: Mapping[str, Any]) -> list[str]:
        """Returns paragraphs that explain the figures, and compare them with published ones."""
        ours, first = results["model"], self.metrics[0]
        paragraphs = [
            f"Mean cost of the {ours['images']:,} test images. For the model it is the importance-weighted bound of "
            f"the likelihood with {ours['num_samples']} samples (Burda et al. 2016, equation 8; standard error over "
            f"the images {ours['standard_error']:.2f}). For the baselines it is exact; they were fitted to the same "
            f"{ours['training_images']:,} training images. A pixel of shade s of 255 is white with probability "
            "s / 255. The pixels of test images, and those that the baselines were fitted to, are drawn once. The "
            "model was trained on pixels that are drawn anew each time."
        ]
        if self.peers:
            different = " and ".join(
                f"{first.difference(ours[first.name], peer.value)} from {peer.name}" for peer in self.peers
            )
            paragraphs.append(
                "Published figures were measured with other training and test images, so the comparison is not fair: "
                f"this run is {different}."
            )
        return paragraphs

    def showcase(self, finished: task.Finished[ImagePreprocessing]) -> list[Section]:
        """Returns sections with samples, nearest training images, reconstructions, and latent values."""
        trained, test = finished.models[STAGE], finished.splits["test"]
        train, num_classes = finished.splits["train"].array("image"), len(self.classes(finished.preprocessing))
        grid = self._grid(finished.preprocessing, trained)
        seen = next(iter(binary.in_order(test, _LOOKED_AT, num_classes)))["x"]
        pixels, classes = seen if num_classes else (seen, None)
        first = tf.nest.map_structure(lambda x: x[: sections.COLUMNS], seen)
        return [
            sections.drawn(grid, "Shades are the probabilities that pixels are white.", num_classes > 0),
            sections.copies(grid, train, finished.results["model"]["nearest_training_image"]),
            sections.rebuilt(test.array("image")[: sections.COLUMNS], pixels, trained.reconstruct(first)),
            *sections.latent_space(trained.decode, trained.encode(seen).numpy(), classes),
        ]

    def details(self, finished: task.Finished[ImagePreprocessing]) -> list[Section]:
        """Returns the section that shows how much of the latent space is used."""
        return [sections.latent_usage(finished.results["model"], finished.histories[STAGE])]


def _figures(preprocessing: ImagePreprocessing, split: Store, nats: np.ndarray) -> task.Figures:
    """Returns mean costs, as a whole and by class."""
    figures = by_class.means("nats_per_image", nats, "images", split.labels, preprocessing.class_names)
    return figures | {"bits_per_pixel": figures["nats_per_image"] / math.log(2) / preprocessing.example.size}
