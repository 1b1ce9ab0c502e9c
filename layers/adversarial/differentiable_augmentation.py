"""`DifferentiableAugmentation`: random changes of images with gradients."""

import keras
import tensorflow as tf

from ikelos.layers.adversarial.precision import wide


@keras.saving.register_keras_serializable(package="ikelos")
class DifferentiableAugmentation(keras.layers.Layer):
    """Changes each image at random in training; gradients pass through the changes (Zhao et al. 2020, section 3.2).

    It is applied to all images that the discriminator sees, real and generated. So the discriminator cannot memorize a
    small number of real images, and the generator does not learn to make augmented images. In inference images stay
    unchanged.

    The changes are drawn for each image separately. Intensities are expected around 0, from -1 to 1: pixels that move
    in at the borders and pixels that are cut out become 0. Intensities are not clipped.

    Args:
        policy: Names of the changes, in the order in which they are made:
            `"color"`: adds -0.5 to 0.5 to the brightness; multiplies the saturation, the distance of the channels from
            their mean, by 0 to 2; multiplies the contrast, the distance from the mean of the image, by 0.5 to 1.5.
            `"translation"`: moves by whole pixels, at most an eighth of the height and of the width.
            `"cutout"`: cuts out a rectangle of half the height and half the width around any pixel.
        seed: int for the same changes in the same order; by default they differ from run to run.

    Input shape: `[B,height,width,channels]`, floats. Output shape: the same.

    Raises:
        ValueError: If `policy` is not a sequence or has an unknown name. When called: if the inputs have another rank
            or are not floats.

    Example:

    >>> augmentation = DifferentiableAugmentation(("translation", "cutout"), seed=1)
    >>> augmentation(keras.ops.ones((2, 32, 32, 3)), training=True).shape
    TensorShape([2, 32, 32, 3])
    """

    def __init__(self, policy=("color", "translation", "cutout"), seed=None, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(policy, tuple | list) or any(name not in _POLICIES for name in policy):
            raise ValueError(
                f"`policy` must be a sequence of names among {list(_POLICIES)}. Received: policy={policy!r}"
            )
        self.policy = tuple(policy)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        """Returns the changed images; in inference, returns the inputs."""
        if len(inputs.shape) != 4:
            raise ValueError(
                f"`inputs` must have the shape [B,height,width,channels]. Received: inputs.shape={inputs.shape}"
            )
        if not tf.as_dtype(inputs.dtype).is_floating:
            raise ValueError(f"`inputs` must be floats around 0. Received: inputs.dtype={inputs.dtype}")
        if not training:
            return inputs
        # In float32 also under half-precision policies, because bfloat16 has too few values for the positions.
        shape = (len(self.policy), tf.shape(inputs)[0], 3)
        draws = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
        for index, name in enumerate(self.policy):
            inputs = _POLICIES[name](inputs, draws[index])
        return inputs

    def compute_output_shape(self, input_shape):
        """Returns the shape of the inputs."""
        return input_shape

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "policy": self.policy, "seed": self.seed}


def change_color(images, brightness, saturation, contrast):
    """Adds `brightness`, then multiplies the distances from the means by `saturation` and `contrast`, all `[B]`."""
    brightness, saturation, contrast = (x[:, None, None, None] for x in (brightness, saturation, contrast))
    changed = wide(images) + tf.cast(brightness, wide(images).dtype)
    for factor, axes in ((saturation, [3]), (contrast, [1, 2, 3])):
        mean = tf.reduce_mean(changed, axis=axes, keepdims=True)
        changed = mean + (changed - mean) * tf.cast(factor, mean.dtype)
    return tf.cast(changed, images.dtype)


def translate(images, down, right):
    """Returns images `[B,height,width,channels]` moved by `down` and `right` pixels, int32 `[B]`; new pixels are 0."""
    for axis, shift in ((1, down), (2, right)):
        size = tf.shape(images)[axis]
        source = tf.range(size) - shift[:, None]
        images = tf.gather(images, tf.clip_by_value(source, 0, size - 1), axis=axis, batch_dims=1)
        images = tf.where(_along(axis, (source >= 0) & (source < size)), images, tf.zeros([], images.dtype))
    return images


def cut_out(images, row, column):
    """Sets a rectangle of half the height and half the width of each image to 0.

    `row` and `column`, int32 `[B]`, are the centre of the rectangle.
    """
    inside = True
    for axis, middle in ((1, row), (2, column)):
        size = tf.shape(images)[axis]
        length = (size + 1) // 2
        offset = tf.range(size) - (middle[:, None] - length // 2)
        inside &= _along(axis, (offset >= 0) & (offset < length))
    return tf.where(inside, tf.zeros([], images.dtype), images)


def _along(axis, mask):
    """Reshapes a mask `[B,size]` along `axis`, 1 or 2, so that it broadcasts to `[B,height,width,channels]`."""
    return mask[:, :, None, None] if axis == 1 else mask[:, None, :, None]


def _random_color(images, draws):
    return change_color(images, draws[:, 0] - 0.5, 2 * draws[:, 1], draws[:, 2] + 0.5)


def _random_translation(images, draws):
    # An eighth of the size, rounded.
    most = [(tf.shape(images)[axis] + 4) // 8 for axis in (1, 2)]
    down, right = (_integers(draws[:, i], 2 * most[i] + 1) - most[i] for i in range(2))
    return translate(images, down, right)


def _random_cutout(images, draws):
    # An even length has one more position, so that both borders are cut equally often.
    sizes = [tf.shape(images)[axis] for axis in (1, 2)]
    row, column = (_integers(draws[:, i], sizes[i] + 1 - (sizes[i] + 1) // 2 % 2) for i in range(2))
    return cut_out(images, row, column)


def _integers(draws, number):
    """Converts uniform draws from 0 to 1 to integers from 0 to `number - 1`."""
    return tf.cast(draws * tf.cast(number, tf.float32), tf.int32)


_POLICIES = {"color": _random_color, "translation": _random_translation, "cutout": _random_cutout}
