"""What the server offers: images in and out, as numbers and as PNG files."""

import tensorflow as tf

from ikelos.layers import VariationalAutoencoder
from ikelos.pipelines.tasks.image_generation_vae.config import Config
from ikelos.pipelines.tasks.image_generation_vae.inputs import drawn_pixels
from ikelos.serving import Signature

_SCORE_SAMPLES = 16


def signatures(
    config: Config, model: VariationalAutoencoder, class_names: tuple[str, ...], example: tf.Tensor
) -> list[Signature]:
    """All signatures; those of a conditional model also take `label`, the class's number.

    Args:
        config: The recipe.
        model: The trained model.
        class_names: Of a conditional model, else empty.
        example: uint8 `[H,W,C]`, an image to show.
    """
    shape, latent_size = config.data.shape, config.model.latent_size
    image = {"image": tf.TensorSpec([None, *shape], tf.float32)}
    files = {"image_bytes": tf.TensorSpec([None], tf.string)}
    label = {"label": tf.TensorSpec([None], tf.int64)} if class_names else {}
    seed = {"seed": tf.TensorSpec([None], tf.int64)}
    values = {
        "image": [(example / 255).tolist(), (0 * example).tolist()],
        "image_bytes": [tf.io.encode_png(picture).numpy() for picture in (example, 0 * example)],
        "label": [0, len(class_names) - 1],
        "latents": [[0.0] * latent_size, [1.0] * latent_size],
        "seed": [0, 1],
    }

    def condition(label):
        if label is None:
            return None
        known = tf.debugging.Assert(
            tf.reduce_all((label >= 0) & (label < len(class_names))),
            [f"`label` must be between 0 and {len(class_names) - 1}. Received:", label],
        )
        with tf.control_dependencies([known]):
            return tf.one_hot(label, len(class_names))

    def paired(pixels, label):
        return pixels if label is None else (pixels, condition(label))

    def encode(image, label=None):
        posterior = model.posterior_of(paired(tf.round(image), label))
        return {"latents": posterior.mean(), "scale": posterior.stddev()}

    def decode(latents, label=None):
        return _both(model.decode(latents, condition(label)))

    def reconstruct(image, label=None):
        return _both(model.reconstruct(paired(tf.round(image), label)))

    def sample(seed, label=None):
        # Row by row: each has its own seed, and must not depend on its mates.
        prior = model.prior.distribution()
        latents = tf.map_fn(lambda key: prior.sample(seed=key), _keys(seed), fn_output_signature=tf.float32)
        return decode(tf.ensure_shape(latents, [None, latent_size]), label)

    def score(image, seed, label=None):
        def of_row(row):
            shades, key, *classes = row
            pixels = drawn_pixels(shades, key)[None]
            inputs = (pixels, classes[0][None]) if classes else pixels
            return model.anomaly_score(inputs, _SCORE_SAMPLES, seed=key)[0]

        rows = (image, _keys(seed)) if label is None else (image, _keys(seed), condition(label))
        return {"anomaly_score": tf.map_fn(of_row, rows, fn_output_signature=tf.float32)}

    def from_files(function):
        def of_files(image_bytes, **others):
            return function(decoded(image_bytes, shape), **others)

        return of_files

    def signature(name, function, inputs, doc):
        return Signature(name, function, inputs, {key: values[key] for key in inputs}, doc)

    rated = "how unexpected each image is: the negative bound of its log-likelihood in nats, pixels drawn by its shades"
    latent = "the posterior's means and deviations of each image, its pixels rounded to 0 and 1"
    rebuilt = "what the model makes of each image: the probability that a pixel is white"
    return [
        signature("serving_default", from_files(score), files | seed | label, f"Of PNG or JPEG files, {rated}."),
        signature("score", score, image | seed | label, f"Of shades from 0 to 1, {rated}."),
        signature("encode", encode, image | label, f"Of shades from 0 to 1, {latent}."),
        signature("encode_bytes", from_files(encode), files | label, f"Of PNG or JPEG files, {latent}."),
        signature(
            "decode",
            decode,
            {"latents": tf.TensorSpec([None, latent_size], tf.float32)} | label,
            "The image of each row of latent values, as shades from 0 to 1 and as PNG file.",
        ),
        signature("reconstruct", reconstruct, image | label, f"Of shades from 0 to 1, {rebuilt}."),
        signature("reconstruct_bytes", from_files(reconstruct), files | label, f"Of PNG or JPEG files, {rebuilt}."),
        signature("sample", sample, seed | label, "A new image for each seed, as shades from 0 to 1 and as PNG file."),
    ]


def decoded(files: tf.Tensor, shape: tuple[int, int, int]) -> tf.Tensor:
    """Shades float32 `[B,H,W,C]` from 0 to 1 of PNG or JPEG files, brought to the shape as a data set's images."""

    def one(file):
        pixels = tf.io.decode_image(file, channels=shape[2], expand_animations=False)
        pixels = tf.ensure_shape(pixels, [None, None, shape[2]])
        resized = tf.image.resize(pixels, shape[:2], antialias=True)
        return tf.round(tf.clip_by_value(resized, 0, 255)) / 255

    return tf.map_fn(one, files, fn_output_signature=tf.TensorSpec(shape, tf.float32))


def _both(images):
    """Images as shades and as PNG files."""
    pixels = tf.cast(tf.round(255 * images), tf.uint8)
    return {"image": images, "image_bytes": tf.map_fn(tf.io.encode_png, pixels, fn_output_signature=tf.string)}


def _keys(seed):
    """Seeds int32 `[B,2]` of int64 `[B]`."""
    return tf.bitcast(seed, tf.int32)
