"""Serving signatures of a variational autoencoder, with images as numbers and as files."""

import tensorflow as tf

from ikelos.layers import VariationalAutoencoder
from ikelos.pipelines.image import binary
from ikelos.pipelines.image.signatures import ImageSignatures, by_row, encoded, keys
from ikelos.serving import Signature

_SCORE_SAMPLES = 16


def signatures(model: VariationalAutoencoder, images: ImageSignatures) -> list[Signature]:
    """Returns all signatures of a model; `images` has the model's shapes and classes."""

    def paired(pixels, label):
        return pixels if label is None else (pixels, images.condition(label))

    def encode(image, label=None):
        posterior = model.posterior_of(paired(tf.round(image), label))
        return {"latents": posterior.mean(), "scale": posterior.stddev()}

    def decode(latents, label=None):
        return encoded(model.decode(latents, images.condition(label)))

    def reconstruct(image, label=None):
        return encoded(model.reconstruct(paired(tf.round(image), label)))

    def sample(seed, label=None):
        prior = model.prior.distribution()
        latents = by_row(lambda key: prior.sample(seed=key), keys(seed))
        return decode(tf.ensure_shape(latents, [None, *prior.event_shape]), label)

    def score(image, seed, label=None):
        def of_row(row):
            shades, key, *classes = row
            pixels = binary.drawn(shades, tf.random.stateless_uniform(tf.shape(shades), key))[None]
            inputs = (pixels, classes[0][None]) if classes else pixels
            return model.anomaly_score(inputs, _SCORE_SAMPLES, seed=key)[0]

        rows = (image, keys(seed)) if label is None else (image, keys(seed), images.condition(label))
        return {"anomaly_score": by_row(of_row, rows)}

    rated = "how unexpected it is: the negative bound of its log-likelihood in nats, with pixels drawn by its shades"
    latent = "the means and standard deviations of its posterior, with pixels rounded to 0 and 1"
    rebuilt = "its reconstruction: the probability that each pixel is white"
    shades, files = "For each image, given as shades from 0 to 1", "For each image, given as a file"
    out = "as shades from 0 to 1 and as a PNG file."
    return [
        images.of_files("serving_default", score, ("image", "seed"), f"{files}, {rated}."),
        images.make("score", score, ("image", "seed"), f"{shades}, {rated}."),
        images.make("encode", encode, ("image",), f"{shades}, {latent}."),
        images.of_files("encode_bytes", encode, ("image",), f"{files}, {latent}."),
        images.make("decode", decode, ("latents",), f"The image of each row of latent values, {out}"),
        images.make("reconstruct", reconstruct, ("image",), f"{shades}, {rebuilt}."),
        images.of_files("reconstruct_bytes", reconstruct, ("image",), f"{files}, {rebuilt}."),
        images.make("sample", sample, ("seed",), f"A new image for each seed, {out}"),
    ]
