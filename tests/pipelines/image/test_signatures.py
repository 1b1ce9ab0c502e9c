import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.image.signatures import ImageSignatures, by_row, decoded, encoded, keys

SHAPE = (4, 6, 1)
MOST = 1000


@pytest.fixture
def signatures():
    def make(*class_names):
        return ImageSignatures(SHAPE, 2, class_names, np.full(SHAPE, 51, np.uint8), True, 10_000, MOST)

    return make


def test_files_are_the_images_that_they_hold(signatures):
    makes = signatures()
    doubled = lambda image, seed: {"image": 2 * image, "seed": seed}  # noqa: E731
    plain = makes.make("plain", doubled, ("image", "seed"), "Doubles.")
    of_files = makes.of_files("files", doubled, ("image", "seed"), "Doubles.")
    assert (list(plain.inputs), list(of_files.inputs)) == (["image", "seed"], ["image_bytes", "seed"])
    pictures = np.arange(48, dtype=np.uint8).reshape(2, *SHAPE)
    files = tf.constant([tf.io.encode_png(picture).numpy() for picture in pictures])
    outputs = of_files.function(image_bytes=files, seed=tf.constant([1, 2], tf.int64))
    np.testing.assert_allclose(outputs["image"], 2 * pictures / 255, rtol=1e-6)
    np.testing.assert_array_equal(outputs["seed"], [1, 2])
    np.testing.assert_allclose(plain.example_arrays()["image"][0], np.full(SHAPE, 0.2), rtol=1e-6)


def test_files_of_other_sizes_and_channels_are_brought_to_the_shape():
    large = tf.io.encode_jpeg(np.full([12, 18, 3], 100, np.uint8))
    shades = decoded(tf.stack([large, tf.io.encode_png(np.full([2, 2, 1], 100, np.uint8))]), SHAPE, True, MOST)
    np.testing.assert_allclose(shades, np.full([2, *SHAPE], 100 / 255), atol=0.005)


def test_what_is_given_can_be_read_again():
    images = np.linspace(0, 1, 48, dtype=np.float32).reshape(2, *SHAPE)
    outputs = encoded(tf.constant(images))
    np.testing.assert_array_equal(outputs["image"], images)
    np.testing.assert_array_equal(tf.io.decode_png(outputs["image_bytes"][1]), np.rint(255 * images[1]))


def test_models_that_are_told_classes_take_a_label_and_check_it(signatures):
    makes = signatures("cat", "dog")
    signature = makes.make("named", lambda seed, label: {"class": makes.condition(label)}, ("seed",), "Names.")
    assert list(signature.inputs) == ["seed", "label"]
    seed = tf.constant([0, 0], tf.int64)
    np.testing.assert_array_equal(signature(seed=seed, label=tf.constant([1, 0]))["class"], [[0, 1], [1, 0]])
    for wrong in ([0, 2], [-1, 0]):
        with pytest.raises(tf.errors.InvalidArgumentError, match="`label` must be between 0 and 1"):
            signature(seed=seed, label=tf.constant(wrong))
    assert signatures().condition(None) is None


def test_a_row_draws_by_its_own_seed():
    seeds = tf.constant([3, 2**40, -1, 3], tf.int64)
    drawn = by_row(lambda key: tf.random.stateless_uniform([4], key), keys(seeds)).numpy()
    np.testing.assert_array_equal(drawn[0], drawn[3])
    assert len({tuple(row) for row in drawn}) == 3
    alone = by_row(lambda key: tf.random.stateless_uniform([4], key), keys(seeds[1:2])).numpy()
    np.testing.assert_array_equal(alone[0], drawn[1])
