"""Serving signatures of a GAN: new images as numbers and as PNG files, and the discriminator's scores of images."""

import tensorflow as tf

from ikelos.layers import AdversarialModel
from ikelos.pipelines.image import gan
from ikelos.pipelines.image.signatures import ImageSignatures, by_row, encoded, keys
from ikelos.serving import Signature


def signatures(model: AdversarialModel, images: ImageSignatures) -> list[Signature]:
    """Returns all signatures of a model; `images` has the model's shapes and classes."""

    def decode(latents, label=None):
        return encoded(gan.unit_range(model.generate(latents, images.condition(label))))

    def sample(seed, label=None):
        latents = by_row(lambda key: tf.random.stateless_normal([model.latent_size], key), keys(seed))
        return decode(tf.ensure_shape(latents, [None, model.latent_size]), label)

    def discriminate(image, label=None):
        condition = images.condition(label)
        inputs = 2 * image - 1 if condition is None else [2 * image - 1, condition]
        return {"score": tf.reshape(model.discriminator(inputs, training=False), [-1])}

    new, out = "A new image for each seed", "as shades from 0 to 1 and as a PNG file."
    score = "The discriminator's score of each image"
    meaning = "above 0 if the discriminator takes the image for a real one"
    return [
        images.make("serving_default", sample, ("seed",), f"{new}, {out}"),
        images.make("sample", sample, ("seed",), f"{new}, {out}"),
        images.make("decode", decode, ("latents",), f"The image of each row of latent values, {out}"),
        images.make("discriminate", discriminate, ("image",), f"{score}, given as shades from 0 to 1: {meaning}."),
        images.of_files("discriminate_bytes", discriminate, ("image",), f"{score}, given as a file: {meaning}."),
    ]
