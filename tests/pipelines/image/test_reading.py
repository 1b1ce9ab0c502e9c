import dataclasses
import io

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.image import reading as images
from ikelos.pipelines.image.config import ImageSource

SPLITS = {"train": "train", "validation": "validation", "test": "test"}
GREY = (28, 28, 1)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tf.io.encode_png(np.asarray(pixels, np.uint8)).numpy())


def of_files(**changes):
    patterns = {split: (f"{split}/**/*.*",) for split in SPLITS}
    return images.load(ImageSource(files=patterns, **changes), (4, 6, 1))


def fill(folder, classes=("cat", "dog"), shape=(4, 6, 1)):
    """One image of each class in each split, its shade counting up."""
    shade = 0
    for split in SPLITS:
        for name in classes:
            shade += 10
            write(folder / split / name / "a.png", np.full(shape, shade))


# TensorFlow Datasets


def test_a_data_set_with_names(tmp_path):
    source = ImageSource(tfds="mnist", splits={"train": "train", "validation": "test", "test": "test"})
    with tfds.testing.mock_data(num_examples=5):
        found = images.load(source, GREY)
        expected = list(tfds.as_numpy(tfds.load("mnist", split="train")))
    np.testing.assert_array_equal(found["train"].pixels, [e["image"] for e in expected])
    np.testing.assert_array_equal(found["train"].labels, [e["label"] for e in expected])
    assert found["train"].class_names == tuple("0123456789")
    assert found["test"].ids == [f"test:{i}" for i in range(5)]


def test_another_shape_without_classes(tmp_path):
    source = ImageSource(
        tfds="cifar10", splits={"train": "train", "validation": "test", "test": "test"}, label_feature=None
    )
    with tfds.testing.mock_data(num_examples=3):
        found = images.load(source, (16, 8, 1))
        expected = [e["image"] for e in tfds.as_numpy(tfds.load("cifar10", split="train"))]
    assert found["train"].pixels.shape == (3, 16, 8, 1)
    assert found["train"].labels is None
    assert found["train"].class_names == ()
    # Of the same brightness as the original, by the usual weights of red, green and blue.
    mean = (expected[0] @ [0.299, 0.587, 0.114]).mean()
    assert found["train"].pixels[0].mean() == pytest.approx(mean, abs=1.5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image_feature": "picture"}, "no image feature 'picture'; its features: id, image, label; .* do: image"),
        ({"label_feature": "image"}, "no label feature 'image'; its features: .*; those that would do: label"),
        ({"tfds": "imdb_reviews"}, "no image feature 'image'.*those that would do: none"),
        ({"splits": {**SPLITS, "test": "text"}}, "has no split 'text'"),
    ],
)
def test_tfds_refuses(fields, message, letters):
    source = ImageSource(**{"tfds": "font_letters", "splits": SPLITS, "data_dir": letters, **fields})
    with pytest.raises(UserError, match=message):
        images.load(source, GREY)


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    """The folder of a small `font_letters`."""
    from ikelos.pipelines.data.builders import font_letters

    folder = str(tmp_path_factory.mktemp("tfds"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("LETTERS", "AB"), ("_SIZES", (20,)), ("_ANGLES", (0,))):
            patch.setattr(font_letters, name, value)
        font_letters.FontLetters(data_dir=folder).download_and_prepare()
    return folder


def test_ours_has_its_own_ids(letters):
    found = images.load(ImageSource(tfds="font_letters", splits=SPLITS, data_dir=letters), GREY)
    assert found["test"].ids[:2] == ["DejaVuSans-Bold/A/20/0", "DejaVuSans-Bold/B/20/0"]
    assert found["test"].pixels.shape == (6, 28, 28, 1)
    np.testing.assert_array_equal(found["test"].labels, [0, 1] * 3)


@pytest.mark.parametrize("label", [-1, 52])
def test_an_image_of_no_class(letters, label, monkeypatch):
    def examples(source, builder, split):
        yield "a", {"image": np.zeros(GREY, np.uint8), "label": label}

    monkeypatch.setattr(images.sources, "examples", examples)
    source = ImageSource(tfds="font_letters", splits=SPLITS, data_dir=letters)
    message = (
        rf"split 'train' of data set 'font_letters': image a has the label {label}, which is none of the 52 classes"
    )
    with pytest.raises(UserError, match=message):
        images.load(source, GREY)
    without = images.load(source.model_copy(update={"label_feature": None}), GREY)
    assert without["test"].labels is None


def test_grey_images_become_colour(letters):
    source = ImageSource(tfds="font_letters", splits=SPLITS, data_dir=letters)
    grey, colour = (images.load(source, (28, 28, channels))["test"].pixels for channels in (1, 3))
    np.testing.assert_array_equal(colour, np.repeat(grey, 3, axis=-1))


# Files


def test_folders_are_classes(folder):
    fill(folder)
    found = of_files()
    assert found["train"].class_names == ("cat", "dog")
    assert found["validation"].ids == ["validation/cat/a.png", "validation/dog/a.png"]
    np.testing.assert_array_equal(found["test"].labels, [0, 1])
    np.testing.assert_array_equal(found["test"].pixels[1], np.full([4, 6, 1], 60))
    assert of_files(label_feature=None)["test"].labels is None


def test_other_sizes_and_channels_are_fitted(folder):
    fill(folder)
    write(folder / "train" / "cat" / "b.png", np.full([8, 12, 3], 200))
    write(folder / "train" / "cat" / "c.png", np.full([4, 6, 4], 100))
    (folder / "train" / "dog" / "d.jpg").write_bytes(tf.io.encode_jpeg(np.full([5, 5, 1], 50, np.uint8)).numpy())
    found = of_files()["train"]
    assert [int(np.median(pixels)) for pixels in found.pixels] == [10, 200, 100, 20, 50]
    assert found.pixels.shape == (5, 4, 6, 1)
    source = ImageSource(files={split: (f"{split}/**/*.*",) for split in SPLITS})
    colour = images.load(source, (4, 6, 3))["train"]
    np.testing.assert_array_equal(colour.pixels[0], np.full([4, 6, 3], 10))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("mode", "kind"),
    [(m, "PNG") for m in ("1", "L", "LA", "P", "RGBA")] + [("CMYK", "JPEG"), ("P", "GIF"), ("RGB", "BMP")],
)
def test_every_kind_of_file(folder, mode, kind, channels):
    file = io.BytesIO()
    Image.new("RGB", (6, 4), "white").convert(mode).save(file, kind)
    pixels = images._decoded("a", file.getvalue(), (4, 6, channels))
    np.testing.assert_array_equal(pixels, np.full([4, 6, channels], 255))


@pytest.mark.parametrize("label", [7, b"cat"])
def test_records(folder, label):
    def feature(value):
        if isinstance(value, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    content = tf.io.encode_png(np.full([4, 6, 1], 77, np.uint8)).numpy()
    example = tf.train.Example(
        features=tf.train.Features(feature={"picture": feature(content), "class": feature(label)})
    )
    for split in SPLITS:
        (folder / split).mkdir()
        with tf.io.TFRecordWriter(f"{split}/a.tfrecord") as writer:
            writer.write(example.SerializeToString())
    found = of_files(image_feature="picture", label_feature="class")["test"]
    assert found.class_names == (str(label) if isinstance(label, int) else "cat",)
    np.testing.assert_array_equal(found.pixels, np.full([1, 4, 6, 1], 77))
    with pytest.raises(UserError, match=r"example 0 must have one bytes value in feature 'image'.*class, picture"):
        of_files()
    with pytest.raises(UserError, match=r"example 0 must have one bytes value in feature 'kind'.*class, picture"):
        of_files(image_feature="picture", label_feature="kind")


def test_numbers_are_sorted_as_numbers():
    assert images._classes({split: [10, 9] for split in SPLITS}) == [9, 10]


def test_a_class_that_training_lacks(folder):
    fill(folder)
    write(folder / "test" / "cow" / "a.png", np.zeros([4, 6, 1]))
    with pytest.raises(UserError, match="test has the class 'cow', of which the training images have none"):
        of_files()


def test_no_image(folder):
    fill(folder)
    (folder / "train" / "cat" / "x.png").write_text("not an image")
    with pytest.raises(UserError, match=r"train/cat/x.png is no PNG, JPEG, GIF or BMP image"):
        of_files()


def test_unknown_suffix(folder):
    fill(folder)
    (folder / "train" / "cat" / "x.tiff").write_text("")
    with pytest.raises(UserError, match=r"train/cat/x.tiff has none of the known suffixes .png, .jpg, .jpeg, .tfrec"):
        of_files()


def test_the_sum_is_of_pixels_labels_and_names(folder):
    fill(folder)
    found = of_files()["train"]
    changes = [
        found.with_pixels(found.pixels + np.uint8(1)),
        dataclasses.replace(found, features={**found.features, "label": found.labels[::-1].copy()}),
        dataclasses.replace(found, class_names=("cat", "cow")),
        of_files(label_feature=None)["train"],
    ]
    assert len({found.sha256(), *(change.sha256() for change in changes)}) == 5
    assert of_files()["train"].sha256() == found.sha256()
