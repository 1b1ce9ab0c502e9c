"""The network that computes the features in which generated images are compared, trained once for each data set.

With classes it is a classifier. Without, it learns to find, among the views of many images, the other view of the same
image (SimCLR; Chen et al. 2020, https://arxiv.org/abs/2002.05709). Its settings are here and not in recipes: figures
can only be compared if they use the features of one network, so of one data set and one version of this file.
"""

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from ikelos.pipelines.data import examples
from ikelos.pipelines.data import fingerprint as fingerprints
from ikelos.pipelines.data.examples import Batch
from ikelos.pipelines.data.order import mapped
from ikelos.pipelines.data.store import Store
from ikelos.pipelines.image.augmentation import moved
from ikelos.pipelines.image.config import Augmentation, Shape
from ikelos.pipelines.image.networks import activated, convolution, flattened, residual_blocks
from ikelos.pipelines.lock import locked
from ikelos.pipelines.metric import Metric
from ikelos.pipelines.recipe.sections import OneOptimizer, Optimizer, PlainTraining
from ikelos.pipelines.training.fit import fit
from ikelos.pipelines.training.stage import Feed, Stage

Pictures: TypeAlias = np.ndarray | tf.Tensor | Iterable[np.ndarray | tf.Tensor]
"""Images `[N,H,W,C]`, or batches of them; uint8, or floats in [0, 1]."""

CLASSIFIER = "classifier"
SELF_SUPERVISED = "self-supervised"

_VERSION = 1
"""Must be raised with every change that leads to other weights for the same data and the same `TRAINING`."""

TRAINING = PlainTraining(
    steps=1200,
    batch_size=128,
    seed=0,
    steps_per_epoch=300,
    optimizers=OneOptimizer(
        model=Optimizer(
            kind="adamw",
            learning_rate=2e-3,
            warmup_steps=100,
            final_learning_rate_ratio=0.01,
            weight_decay=0.05,
            beta_1=0.9,
            beta_2=0.99,
            clip_norm=5.0,
        )
    ),
    ema_momentum=0.99,
    early_stop_patience=0,
    checkpoint_every=300,
    deterministic=True,
    jit_compile=False,
    profile_steps=None,
)
"""Training of both kinds; `steps` is the most that a data set gets."""

_PASSES, _LEAST_STEPS = 200, 300
"""Passes over the training images after which training ends, and the fewest steps. With a few hundred images, all 1,200
steps would be hundreds of passes more, and most of the time of a small run."""

_SIZE = 64
"""Number of features. It is small, as the Fréchet distance's bias grows with it and a test set may have only a thousand
images."""
_WIDTH = 32
"""Channels of all convolutions before the last one and its residual block."""
_LARGEST_RESOLUTION = 16
"""Highest resolution with a residual block, which takes most of the time."""
_DROPOUT = 0.3
_TEMPERATURE = 0.2
_LIGHT, _STRONG = 7.5, 15.0
"""Standard deviation of rotations in degrees, from which those of the other transformations are derived (`_moves`): for
a classifier, and for views of one image, which must differ more."""
_COLOUR = 0.2
"""Standard deviation of the logarithm of a channel's gain."""
_AT_ONCE = 256
"""Images whose features are computed together."""


@dataclasses.dataclass(frozen=True)
class FeatureNetwork:
    """A trained network.

    Attributes:
        model: Model from images in [0, 1], float32 `[B,H,W,C]`, to `{"features": [B,F], "outputs": ...}`. Each feature
            is scaled to mean 0 and variance 1 over the validation images. Otherwise distances would have other units
            for every network: the standard error of the kernel distance was 2 for one network of digits, 0.015 for
            another.
        about: Description for a report, JSON: `kind` (`classifier` or `self-supervised`), `sha256` of the weights,
            `held_out_accuracy`, `training_images`, `fingerprint`. The accuracy is measured on the validation images:
            for a classifier, the share of correct classes; for the other kind, the share of views for which the most
            similar view in the batch is the other view of the same image.
    """

    model: keras.Model
    about: dict[str, Any]

    def features(self, images: Pictures) -> np.ndarray:
        """Returns the features of images, float32 `[N,F]`.

        Args:
            images: Images to compute features of. The sets of a comparison should both be uint8 or both floats, as
                rounding makes a difference too.

        Raises:
            ValueError: If the images have another shape or range.
        """
        return self._outputs("features", images)

    def predictions(self, images: Pictures) -> np.ndarray:
        """Returns the most probable class of each image, int64 `[N]`; images as for `features`.

        Raises:
            ValueError: If the images have another shape or range, or the network was trained without classes.
        """
        if self.about["kind"] != CLASSIFIER:
            raise ValueError(f"Only a classifier predicts classes. Received: a {self.about['kind']} network")
        return self._outputs("outputs", images).argmax(1)

    @functools.cached_property
    def _apply(self):
        specification = tf.TensorSpec([None, *self.model.input_shape[1:]], tf.float32)
        return tf.function(
            functools.partial(self.model, training=False), input_signature=[specification], autograph=False
        )

    def _outputs(self, name, images):
        shape = self.model.input_shape[1:]
        return np.concatenate([self._apply(_as_floats(batch, shape))[name].numpy() for batch in _batches(images)])


def load_or_train(
    train: Store,
    validation: Store,
    class_names: Sequence[str],
    shape: Shape,
    fingerprint: str,
    cache: Path,
) -> FeatureNetwork:
    """Returns the network of a data set; trains it if it is not in the cache.

    Training takes about a minute on two cores for images 28 x 28, and less for fewer than some 800 training images (see
    `_PASSES`). A killed training is resumed by the next call. If several processes need the same network, one trains it
    and the others wait. Like `training.fit.fit`, this function sets the global random seed, and makes TensorFlow's ops
    deterministic for the rest of the process.

    Args:
        train: Training images, with the columns `image`, uint8 `[H,W,C]`, and with classes `label`, int64.
        validation: Validation images, on which the network is measured and its features are standardised.
        class_names: Names of the classes; with fewer than two, the network is trained without classes.
        shape: Shape (H, W, C) of the images.
        fingerprint: Fingerprint of the data; another fingerprint gives another network.
        cache: Folder of all networks; created if needed.

    Raises:
        Terminated, UserError, OSError: As `training.fit.fit`.
    """
    # A classifier with a single class would learn nothing.
    num_classes = len(class_names) if len(class_names) > 1 else 0
    kind = CLASSIFIER if num_classes else SELF_SUPERVISED
    feed = _feed(train, validation, shape, kind)
    training = TRAINING.model_copy(update={"steps": _steps(len(train), feed.units_per_step)})
    stage = Stage(
        name="feature_network",
        training=training,
        build=lambda _: _build(shape, num_classes),
        feed=lambda *_: feed,
        unit="images",
        metric=Metric("loss", "nats per image"),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight"),
    )
    settings = [_VERSION, training.model_dump(mode="json"), kind, list(class_names), list(shape), fingerprint]
    folder = cache / hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]
    with locked(folder, wait=True):
        trained = fit(stage, {}, {}, folder)
    mean, variance = _moments(trained, validation)
    standardised = keras.layers.Normalization(mean=mean, variance=variance)(trained.get_layer("features").output)
    return FeatureNetwork(
        keras.Model(trained.input, {"features": standardised, "outputs": trained.output}),
        {
            "kind": kind,
            "sha256": fingerprints.sha256(value.tobytes() for value in (*trained.get_weights(), mean, variance)),
            "held_out_accuracy": _accuracy(trained, feed.validation),
            "training_images": len(train),
            "fingerprint": fingerprint,
        },
    )


def _steps(images: int, images_per_step: int) -> int:
    """Returns the number of training steps for a number of training images."""
    return min(TRAINING.steps, max(_LEAST_STEPS, math.ceil(_PASSES * images / images_per_step)))


def _build(shape: Shape, num_classes: int) -> keras.Model:
    """Returns a model from images to logits, `[B,num_classes]` for classes or `[B,B]` for views."""
    images = keras.Input(shape, name="images")
    hidden = convolution(_WIDTH, 5, strides=2)(images)
    while max(hidden.shape[1:3]) > _LARGEST_RESOLUTION:
        hidden = convolution(_WIDTH, 3, strides=2)(activated(hidden))
    hidden = activated(residual_blocks(hidden, 1, dropout=0.0))
    hidden = convolution(_SIZE, 3, strides=2)(hidden)
    hidden = activated(residual_blocks(hidden, 1, dropout=0.0))
    hidden = keras.layers.Dropout(_DROPOUT)(flattened()(hidden))
    features = keras.layers.Dense(_SIZE, activation="leaky_relu", name="features")(hidden)
    if num_classes:
        return keras.Model(images, keras.layers.Dense(num_classes)(features))
    # Chen et al. 2020, section 4.2: the layer before the projection is a better representation than the one after it.
    projections = keras.layers.Dense(_SIZE)(keras.layers.Dense(_SIZE, activation="relu")(features))
    return keras.Model(images, _OtherViews(_TEMPERATURE)(projections))


class _OtherViews(keras.layers.Layer):
    """Layer that maps projections `[B,D]` of views to logits `[B,B]` of which view shows the same image.

    The logits are cosine similarities divided by the temperature; their cross entropy is the loss NT-Xent (Chen et al.
    2020, equation 1).
    """

    def __init__(self, temperature: float, **kwargs):
        super().__init__(**kwargs)
        self.temperature = temperature

    def call(self, projections):
        """Returns the logits; the diagonal excludes a view itself."""
        directions = tf.math.l2_normalize(projections, axis=1)
        logits = tf.matmul(directions, directions, transpose_b=True) / self.temperature
        return tf.linalg.set_diag(logits, tf.fill(tf.shape(logits)[:1], logits.dtype.min))

    def compute_output_shape(self, input_shape):
        """Returns `[B,B]`."""
        return (input_shape[0], input_shape[0])


def _feed(train: Store, validation: Store, shape: Shape, kind: str) -> Feed:
    """Returns the batches of training and validation images."""
    prepare = _labelled if kind == CLASSIFIER else _viewed
    # With two views of each image, half as many images make a step as long as a classifier's.
    seed, size = TRAINING.seed, TRAINING.batch_size // (1 if kind == CLASSIFIER else 2)

    def batches(dataset, training):
        return mapped(dataset, functools.partial(prepare, shape=shape, size=size, training=training)).prefetch(2)

    return Feed(
        train=lambda step, shard: batches(examples.batches(train, size, seed, step, shard), training=True),
        validation=batches(examples.in_order(validation, size), training=False),
        units_per_step=size,
        units=len(train),
    )


def _labelled(batch: Batch, shape: Shape, size: int, training: bool) -> Batch:
    """Returns images and their classes; training images are slightly transformed."""
    images = _of_bytes(batch["image"])
    if training:
        images = moved(images, _moves(shape, _LIGHT), _normals(batch, 6, size, TRAINING.seed))
    return {"id": batch["id"], "x": images, "y": batch["label"]}


def _viewed(batch: Batch, shape: Shape, size: int, training: bool) -> Batch:
    """Returns the first view of every image, then the second; `y` is the index of the other view of the same image."""
    del training  # Validation images need two views as well.
    count = tf.shape(batch["id"])[0]
    views = [_view(batch, shape, size, TRAINING.seed + number) for number in (0, 2)]
    places = tf.range(count)
    return {
        "id": tf.tile(batch["id"], [2]),
        "x": tf.concat(views, 0),
        "y": tf.concat([places + count, places], 0),
    }


def _view(batch: Batch, shape: Shape, size: int, seed: int) -> tf.Tensor:
    """Returns transformed images with changed brightness and colour; else colours alone would identify most images.

    Images are not blurred, and no noise is added, as the features must show whether a model does this. The seeds `seed`
    and `seed + 1` are used.
    """
    noise = tf.transpose(_normals(batch, shape[2], size, seed))[:, None, None, :]
    coloured = tf.minimum(_of_bytes(batch["image"]) * tf.exp(_COLOUR * noise), 1.0)
    return moved(coloured, _moves(shape, _STRONG), _normals(batch, 6, size, seed + 1))


def _normals(batch: Batch, number: int, size: int, seed: int) -> tf.Tensor:
    """Returns random numbers for each image, float32 `[number,B]`, the same for any sharding of the batch."""
    step, row = batch["draw"][0] // size, batch["draw"] % size
    return tf.gather(tf.random.stateless_normal([number, size], tf.stack([seed, step])), row, axis=1)


def _moves(shape: Shape, degrees: float) -> Augmentation:
    share = degrees / 100
    return Augmentation(rotation=degrees, zoom=share, shear=share, shift=share / 2 * max(shape[:2]))


def _moments(trained: keras.Model, images: Store) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and variance of each feature over some images, float32 `[F]`.

    The standard deviation is at least a hundredth of the features' typical one: otherwise a feature that hardly varies
    would dominate all figures.
    """
    model = keras.Model(trained.input, trained.get_layer("features").output)
    apply = tf.function(
        lambda batch: model(_of_bytes(batch["image"]), training=False), reduce_retracing=True, autograph=False
    )
    features = np.concatenate([apply(batch) for batch in examples.in_order(images, _AT_ONCE)])
    variance = features.var(0)
    return features.mean(0), np.maximum(variance, 1e-4 * variance.mean())


def _accuracy(model: keras.Model, dataset: tf.data.Dataset) -> float:
    """Returns the share of examples `x` whose largest logit is that of `y`."""
    right = tf.function(
        lambda x, y: tf.argmax(model(x, training=False), 1, y.dtype) == y, reduce_retracing=True, autograph=False
    )
    return float(np.concatenate([right(batch["x"], batch["y"]) for batch in dataset]).mean())


def _batches(images: Pictures) -> Iterator[np.ndarray | tf.Tensor]:
    if isinstance(images, np.ndarray | tf.Tensor):
        return (images[start : start + _AT_ONCE] for start in range(0, len(images), _AT_ONCE))
    return iter(images)


def _as_floats(images: np.ndarray | tf.Tensor, shape: Shape) -> tf.Tensor:
    """Returns images as float32 in [0, 1]."""
    images = np.asarray(images)
    if images.shape[1:] != shape:
        raise ValueError(f"`images` must be [N,H,W,C] = [N,{','.join(map(str, shape))}]. Received: {images.shape}")
    if images.dtype == np.uint8:
        return _of_bytes(images)
    if not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"`images` must be uint8, or in [0, 1]. Received: {images.dtype} from {images.min()} to {images.max()}"
        )
    return tf.cast(images, tf.float32)


def _of_bytes(images):
    return tf.cast(images, tf.float32) / 255
