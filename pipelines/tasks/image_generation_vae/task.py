"""Image generation with a variational autoencoder, from images to a served model. Each function can be read alone."""

import dataclasses
import json
import math
import time
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ikelos.pipelines.data import fingerprint
from ikelos.pipelines.data.config import Split
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.evaluation import bernoulli
from ikelos.pipelines.image import reading as images
from ikelos.pipelines.image.reading import Images
from ikelos.pipelines.report.tiles import tiled
from ikelos.pipelines.tasks.image_generation_vae import inputs, model, page, pictures, serving
from ikelos.pipelines.tasks.image_generation_vae.config import Config
from ikelos.pipelines.training.stage import Stage, triples
from ikelos.serving import Signature

STAGE = model.NAME


class Assets(tf.Module):
    """The images; nothing is learned before the model.

    A module, as an export wants one.

    Attributes:
        splits: `train`, `validation` and `test`, in shades.
        fixed: The same with the black and white pixels that all figures are about.
    """

    def __init__(self, splits: Mapping[Split, Images]):
        super().__init__(name="assets")
        # A plain dict would be wrapped and searched for variables.
        self.splits = types.MappingProxyType(dict(splits))
        self.fixed = types.MappingProxyType(
            {
                name: dataclasses.replace(split, pixels=inputs.fixed_pixels(split.ids, split.pixels))
                for name, split in splits.items()
            }
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of all splits."""
        return tuple(self.splits["train"].class_names)


def fit_assets(config: Config, folder: Path) -> None:
    """Writes a SHA-256 of each split to `folder`."""
    found = images.load(config.data.source, config.data.shape)
    fingerprint.write(folder, _sums(found))


def load_assets(config: Config, folder: Path) -> Assets:
    """Reads all splits.

    Raises:
        UserError: If a split is no longer what it was when `fit_assets` read it, or if there are fewer training images
            than components of the mixture that is a baseline.
    """
    found = images.load(config.data.source, config.data.shape)
    fingerprint.check(folder, _sums(found), "images")
    number, components = len(found["train"].pixels), config.evaluation.mixture_components
    if components > number:  # Told now: baselines come after the training.
        raise UserError(
            f"evaluation.mixture_components={components} is more than the {number} training images; "
            f"--set evaluation.mixture_components={number} or fewer"
        )
    return Assets(found)


def stages(config: Config, assets: Assets) -> list[Stage]:
    """One stage: the model learns to generate the training images."""
    train = assets.splits["train"]
    return [
        Stage(
            name=STAGE,
            build=lambda: model.build(config, len(assets.class_names), train.pixels),
            loss=None,
            train=lambda start_step: inputs.training(config, train, start_step),
            validation=inputs.in_order(config, assets.fixed["validation"]),
            unit="images",
            units_per_step=config.training.batch_size,
            samples=lambda trained: tiled(pictures.samples(trained, config.evaluation.pictures, _told(config, assets))),
        )
    ]


def evaluate(config: Config, assets: Assets, models: dict[str, keras.Model]) -> dict[str, Any]:
    """The bound of the test images' log-likelihood, whole and by class, and what the loss is made of.

    Raises:
        FloatingPointError: If the model gives an image a likelihood that is not a number.
    """
    trained, split, settings = models[STAGE], assets.fixed["test"], config.evaluation
    batches = inputs.in_order(config, split)
    # One graph for the last batch too, which may have fewer images: tracing another takes seconds.
    bound = tf.function(
        lambda x, seed: trained.log_likelihood(x, settings.num_samples, settings.samples_at_once, seed=seed),
        input_signature=[batches.element_spec["x"], tf.TensorSpec([], tf.int32)],
    )
    nats = np.concatenate([-bound(batch["x"], tf.constant(i)) for i, batch in enumerate(batches)], dtype=np.float64)
    if not np.isfinite(nats).all():
        place = int(np.argmin(np.isfinite(nats)))
        raise FloatingPointError(f"The model's likelihood of image {split.ids[place]} is {-nats[place]}.")
    logs = trained.evaluate(triples(batches), verbose=0, return_dict=True)
    return {
        **_figures(split, nats),
        "num_samples": settings.num_samples,
        "negative_elbo": logs["nll"] + logs["kl"],
        "nll": logs["nll"],
        "kl": logs["kl"],
        "active_units": int(logs["active_units"]),
        "latent_size": config.model.latent_size,
        "parameters": trained.count_params(),
    }


def baselines(config: Config, assets: Assets) -> dict[str, Any]:
    """The same figures of models without a network: independent pixels, and a mixture of such models."""
    train, test = assets.fixed["train"].pixels, assets.fixed["test"]
    components = config.evaluation.mixture_components
    names = {"Independent pixels": 1, f"Mixture of {components} Bernoulli distributions": components}
    result = {}
    for name, number in names.items():
        start = time.monotonic()
        fitted = bernoulli.fit(train, number)
        minutes = (time.monotonic() - start) / 60
        result[name] = {**_figures(test, -fitted.log_probabilities(test.pixels)), "minutes": minutes}
    return result


def headline(results: dict[str, Any]) -> str:
    """What came out, in a line."""
    figures = results["model"]
    others = [f"{name}: {values['nats_per_image']:.2f}" for name, values in results["baselines"].items()]
    return "; ".join(
        [
            f"{figures['nats_per_image']:.2f} nats per image (bound of {figures['num_samples']} samples) on "
            f"{figures['images']:,} held-out images",
            *others,
        ]
    )


def signatures(config: Config, assets: Assets, models: dict[str, keras.Model]) -> list[Signature]:
    """What the server offers: see `ikelos.pipelines.tasks.image_generation_vae.serving`."""
    class_names = assets.class_names if config.model.conditional else ()
    return serving.signatures(config, models[STAGE], class_names, assets.splits["test"].pixels[0])


def report(
    config: Config,
    assets: Assets,
    models: dict[str, keras.Model],
    results: dict[str, Any],
    histories: dict[str, list[dict[str, Any]]],
) -> tuple[str, dict[str, Any], list]:
    """What a person looks at: see `ikelos.pipelines.tasks.image_generation_vae.page`."""
    return page.build(
        config, results, histories[STAGE], models[STAGE], assets.splits, assets.fixed["test"], _told(config, assets)
    )


def _told(config, assets):
    """How many classes the model is told of."""
    return len(assets.class_names) if config.model.conditional else 0


def _figures(split, nats):
    """Mean costs, whole and by class."""
    mean = float(nats.mean())
    classes = {}
    if split.labels is not None:
        classes = {
            name: {
                "images": int((split.labels == index).sum()),
                "nats_per_image": float(nats[split.labels == index].mean()),
            }
            for index, name in enumerate(split.class_names)
            if (split.labels == index).any()
        }
    return {
        "nats_per_image": mean,
        "standard_error": float(nats.std() / math.sqrt(len(nats))),
        "bits_per_pixel": mean / math.log(2) / split.pixels[0].size,
        "images": len(nats),
        "classes": classes,
    }


def _sums(splits):
    """Of each split's ids, classes and pixels."""
    return {
        name: fingerprint.sha256(
            [
                json.dumps([list(split.ids), list(split.class_names), split.pixels.shape]).encode(),
                split.pixels.tobytes(),
                b"" if split.labels is None else split.labels.tobytes(),
            ]
        )
        for name, split in splits.items()
    }
