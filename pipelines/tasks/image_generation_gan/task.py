"""Image generation with a GAN, from images to a served model."""

import functools
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ikelos.layers import AdversarialModel
from ikelos.pipelines import task
from ikelos.pipelines.data.examples import Batch
from ikelos.pipelines.data.preparation import cache
from ikelos.pipelines.data.store import Splits
from ikelos.pipelines.evaluation import bernoulli, likeness
from ikelos.pipelines.image import gan, other_run, pictures, sections
from ikelos.pipelines.image.generation import ImageGeneration
from ikelos.pipelines.image.preprocessing import ImagePreprocessing
from ikelos.pipelines.metric import Metric
from ikelos.pipelines.report.sections import Section
from ikelos.pipelines.report.tiles import tiled
from ikelos.pipelines.tasks.image_generation_gan import serving
from ikelos.pipelines.tasks.image_generation_gan.config import Config
from ikelos.pipelines.training.adversaries import trouble
from ikelos.pipelines.training.stage import Feed, Models, Stage, feed
from ikelos.serving import Signature

STAGE = gan.NAME
_SHOWN, _MEASURED = 0, 1
"""Seeds of the samples that are shown, and of those that are measured."""


class Task(ImageGeneration, task.Task[Config, ImagePreprocessing]):
    """Image generation with a generator and a discriminator that are trained against each other."""

    metrics = likeness.METRICS
    counted = "images"

    def __init__(self, config: Config):
        super().__init__(config)
        self._compared: likeness.Comparison | None = None

    @property
    def title(self) -> str:
        """Title of the report."""
        return f"Generator and discriminator: {self.config.data.source.title('images')}"

    def stages(self, preprocessing: ImagePreprocessing) -> list[Stage]:
        """Returns the one stage, which trains both networks."""
        model, shape, num_classes = self.config.model, self.config.data.shape, len(self.classes(preprocessing))
        return [
            Stage(
                name=STAGE,
                training=self.config.training,
                build=lambda _: gan.build(model, shape, num_classes, self.config.training.seed),
                feed=lambda splits, _: self._feed(preprocessing, splits),
                unit="images",
                metric=Metric("diversity", "times as diverse as the images", ".2f", better="more"),
                trouble=trouble,
                trouble_patience=self.config.training.trouble_patience,
            )
        ]

    def _feed(self, preprocessing: ImagePreprocessing, splits: Splits) -> Feed:
        self._check(splits)
        return feed(
            splits,
            self.config.training,
            functools.partial(_prepared, num_classes=len(self.classes(preprocessing))),
            self.config.evaluation.batch_size,
            lambda model: tiled(self._grid(preprocessing, model)),
        )

    def _check(self, splits: Splits) -> None:
        """Raises UserError before training for faults that would otherwise end the evaluation; warns of few images."""
        evaluation, shape = self.config.evaluation, self.config.data.shape
        bernoulli.check_components(evaluation.mixture_components, len(splits["train"]))
        likeness.check_number(splits)
        caution = likeness.caution(min(evaluation.images, len(splits["test"]), len(splits["train"])))
        if caution:
            warnings.warn(f"{caution} `data.source.splits` may give the test split more.", stacklevel=2)
        if evaluation.other_run is not None:
            other_run.sampler(Path(evaluation.other_run), splits["train"].labels, shape, batch_size=1)(1)

    def _grid(self, preprocessing: ImagePreprocessing, model: AdversarialModel) -> np.ndarray:
        def sample(number, condition):
            return gan.unit_range(model.sample(number, _SHOWN, condition))

        return pictures.grid(sample, self.config.evaluation.pictures, len(self.classes(preprocessing)))

    def evaluate(self, preprocessing: ImagePreprocessing, splits: Splits, models: Models) -> task.Figures:
        """Returns metrics of samples compared with test images, and their distance to the nearest training images."""
        train, test = splits["train"], splits["test"]
        comparison = self._comparison(preprocessing, splits)
        sample = self._sampler(preprocessing, splits, models[STAGE])
        return {
            **comparison.figures(sample(comparison.number)),
            "training_images": len(train),
            "feature_network": comparison.network.about,
            "nearest_training_image": sections.distances(
                self._grid(preprocessing, models[STAGE]), train.array("image"), test.array("image")
            ),
        }

    def _comparison(self, preprocessing: ImagePreprocessing, splits: Splits) -> likeness.Comparison:
        """Returns the comparison that the model and the baselines share."""
        if self._compared is None:
            self._compared = likeness.Comparison(
                splits,
                preprocessing.class_names,
                self.config.data.shape,
                self.config.evaluation.images,
                cache() / "feature_networks",
            )
        return self._compared

    def _sampler(
        self, preprocessing: ImagePreprocessing, splits: Splits, model: AdversarialModel
    ) -> Callable[[int], np.ndarray]:
        """Returns a function from n to samples uint8 `[n,H,W,C]`; classes are drawn from the training labels."""
        num_classes, labels = len(self.classes(preprocessing)), splits["train"].labels

        def make(start: int, count: int) -> tf.Tensor:
            condition = None
            if num_classes and labels is not None:
                condition = tf.one_hot(np.random.default_rng([_MEASURED, start]).choice(labels, count), num_classes)
            return gan.unit_range(model.sample(count, _MEASURED + start, condition))

        return lambda number: pictures.many(make, number, self.config.evaluation.batch_size)

    def baselines(self, preprocessing: ImagePreprocessing, splits: Splits) -> dict[str, task.Figures]:
        """Returns the figures of training images, another run's samples, and a mixture of Bernoulli distributions."""
        comparison, evaluation = self._comparison(preprocessing, splits), self.config.evaluation
        found = {"Training images": comparison.of_training_images()}
        if evaluation.other_run is not None:
            labels, shape = splits["train"].labels, self.config.data.shape
            sample = other_run.sampler(Path(evaluation.other_run), labels, shape, evaluation.batch_size)
            found[f"Samples of {evaluation.other_run}"] = comparison.of_samples(sample, None)
        start = time.monotonic()
        images = splits["train"].array("image")[: evaluation.mixture_images]
        mixture = bernoulli.fit(images / np.float64(255), evaluation.mixture_components)
        minutes = (time.monotonic() - start) / 60

        def drawn(number: int) -> np.ndarray:
            pixels = mixture.sample(number, _MEASURED).reshape(-1, *images.shape[1:])
            return 255 * pixels.astype(np.uint8)

        name = bernoulli.name(evaluation.mixture_components, len(images), len(splits["train"]))
        return found | {name: comparison.of_samples(drawn, minutes)}

    def signatures(self, preprocessing: ImagePreprocessing, models: Models) -> list[Signature]:
        """Returns the signatures that generate images, and that score images by the discriminator."""
        return serving.signatures(models[STAGE], self.image_signatures(preprocessing))

    def about_result(self, results: Mapping[str, Any]) -> str:
        """Returns a note if the held-out images are too few."""
        return "too few to judge a model by" if likeness.caution(results["model"]["images"]) else ""

    def about_comparison(self, results: Mapping[str, Any]) -> list[str]:
        """Returns paragraphs that explain the features and the images of the comparison."""
        ours = results["model"]
        network = ours["feature_network"]
        right = f"{network['held_out_accuracy']:.1%}"
        kinds = {
            "classifier": f"a classifier that is right for {right} of the validation images",
            "self-supervised": "a network that was trained without classes to find the second of two views of an image "
            f"(it finds {right} of the views of validation images)",
        }
        paragraphs = [
            f"{ours['images']:,} samples of the averaged generator are compared with as many test images, in the "
            f"features of {kinds[network['kind']]}. The network was trained on the same training images. Figures can "
            "only be compared if they come from the same data set and the same network; the SHA-256 of this one begins "
            f"with {network['sha256'][:16]}. KID (Bińkowski et al. 2018) is multiplied by 1,000; its standard error "
            f"here is {ours['kid_error']:.2f}. Precision and recall are those of Kynkäänniemi et al. (2019), with 3 "
            "neighbours. A perfect model would have the figures of the training images, up to chance."
        ]
        if caution := likeness.caution(ours["images"]):
            paragraphs.insert(0, caution)
        if "class_imbalance" in ours:
            paragraphs.append(
                f"{ours['class_imbalance']:.1%} of the samples would have to be of another class to make all classes "
                "as frequent as among the training images."
            )
        return paragraphs

    def showcase(self, finished: task.Finished[ImagePreprocessing]) -> list[Section]:
        """Returns sections with samples, their course over the training, nearest training images, and latent values."""
        model, train = finished.models[STAGE], finished.splits["train"].array("image")
        num_classes = len(self.classes(finished.preprocessing))
        grid = self._grid(finished.preprocessing, model)
        latents = tf.random.stateless_normal([2 * sections.ROWS, self.config.model.latent_size], [_SHOWN, 0]).numpy()
        classes = tf.one_hot(tf.range(2 * sections.ROWS) % num_classes, num_classes) if num_classes else None
        return [
            sections.drawn(grid, "They come from the averaged generator.", num_classes > 0),
            *sections.film(finished.folders[STAGE], finished.histories[STAGE]),
            sections.copies(grid, train, finished.results["model"]["nearest_training_image"]),
            *sections.latent_space(
                lambda latents, condition: gan.unit_range(model.generate(latents, condition)),
                latents,
                classes,
                sections.OF_LATENTS,
            ),
        ]

    def details(self, finished: task.Finished[ImagePreprocessing]) -> list[Section]:
        """Returns the section that shows whether the discriminator has won or the generator has collapsed."""
        return [sections.adversaries(finished.histories[STAGE])]


def _prepared(batch: Batch, num_classes: int) -> Batch:
    """Returns images in the discriminator's range, and their one-hot classes if it is conditional."""
    classes = {"y": tf.one_hot(batch["label"], num_classes)} if num_classes else {}
    return {"id": batch["id"], "x": gan.scaled(batch["image"]), **classes}
