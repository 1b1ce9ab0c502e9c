"""Samples from the exported model of another run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from ikelos import serving
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.image import pictures
from ikelos.pipelines.image.config import Shape

_SIGNATURE = "sample"


def sampler(workdir: Path, labels: np.ndarray | None, shape: Shape, batch_size: int) -> Callable[[int], np.ndarray]:
    """Returns a function from a number n to n samples, uint8 `[n,H,W,C]`, with the seeds from 0 on.

    Args:
        workdir: Folder of the other run, with an export whose signature `sample` takes `seed` (and `label` if the model
            is conditional) and returns `image`.
        labels: Labels of the training images, from which the classes for a conditional model are drawn.
        shape: Shape (H, W, C) of the images.
        batch_size: Samples in a batch.

    Raises:
        UserError: If there is no such export; when the function is called, if the images have another shape.
    """
    version = serving.newest(workdir.expanduser() / "export")
    if version is None:
        raise UserError(
            "`evaluation.other_run` must be the folder of a run with an export, which `ikelos export` makes. "
            f"Received: evaluation.other_run={workdir}"
        )
    loaded = tf.saved_model.load(str(version))
    if _SIGNATURE not in loaded.signatures:
        raise UserError(
            f"`evaluation.other_run` must have exported the signature {_SIGNATURE!r}. Received: "
            f"evaluation.other_run={workdir}, with {', '.join(sorted(loaded.signatures))}"
        )
    function = loaded.signatures[_SIGNATURE]
    takes_label = "label" in function.structured_input_signature[1]
    if takes_label and labels is None:
        raise UserError(
            "`evaluation.other_run` must be a run with an unconditional model, as this data has no classes. Received: "
            f"evaluation.other_run={workdir}"
        )

    def make(start: int, count: int) -> tf.Tensor:
        label = {}
        if takes_label and labels is not None:
            label["label"] = tf.constant(np.random.default_rng(start).choice(labels, count))
        images = function(seed=tf.range(start, start + count, dtype=tf.int64), **label)["image"]
        if images.shape[1:] != shape:
            raise UserError(
                f"`evaluation.other_run` must generate images of the shape {list(shape)}. Received: "
                f"evaluation.other_run={workdir}, whose images are {list(images.shape[1:])}"
            )
        return images

    return lambda number: pictures.many(make, number, batch_size)
