import pathlib

import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.data.preparation import Size
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.image.config import ImageSource
from ikelos.pipelines.image.reading import FaultError, Reader, pixels

SPLITS = {"train": "train", "validation": "validation", "test": "test"}
SHAPE = (4, 6, 1)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Changes to an empty working directory and returns it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def png(values):
    return tf.io.encode_png(np.asarray(values, np.uint8)).numpy()


def write(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(values))


def reader(**changes):
    return Reader(ImageSource(files={split: (f"{split}/**/*.*",) for split in SPLITS}, **changes))


def of_files(split="train", start=0, **changes):
    return list(reader(**changes).images(split, start))


def fill(folder, classes=("cat", "dog"), shape=SHAPE):
    """Writes an image of each class in each split, with ascending shades."""
    shade = 0
    for split in SPLITS:
        for name in classes:
            shade += 10
            write(folder / split / name / "a.png", np.full(shape, shade))


# TensorFlow Datasets


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_a_data_set_by_name_in_either_format(toy_data_set, file_format):
    found = Reader(ImageSource(tfds="ikelos_toy", splits=SPLITS, data_dir=toy_data_set(file_format)))
    assert found.class_names() == ["cat", "dog"]
    assert found.size("train") == Size(5, "examples")
    whole = list(found.images("train"))
    assert [image.name for image in whole] == [f"train:{index}" for index in range(5)]
    shades = [int(pixels(image.content, SHAPE, resize=False)[0, 0, 0]) for image in whole]
    assert sorted(shades) == [5, 15, 25, 35, 45]
    assert [image.label for image in whole] == [(shade - 5) // 10 % 2 for shade in shades]
    for start in range(6):
        assert list(found.images("train", start)) == whole[start:]


def test_the_data_set_may_lie_in_the_home_folder(toy_data_set, monkeypatch):
    folder = pathlib.Path(toy_data_set())
    monkeypatch.setenv("HOME", str(folder.parent))
    source = ImageSource(tfds="ikelos_toy", splits=SPLITS, data_dir=f"~/{folder.name}")
    assert Reader(source).size("train") == Size(5, "examples")


def test_without_classes_a_data_set_tells_none(toy_data_set):
    source = ImageSource(tfds="ikelos_toy", splits=SPLITS, data_dir=toy_data_set(), label_feature=None)
    assert Reader(source).class_names() is None
    assert {image.label for image in Reader(source).images("test")} == {None}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"image_feature": "picture"},
            r"image_feature` must name a feature of .* with images: image \(of .*\)\. Received: picture$",
        ),
        (
            {"label_feature": "image"},
            r"label_feature` must name a feature of .* with integer labels: label \(of .*\)\. Received: image$",
        ),
        ({"tfds": "imdb_reviews"}, r"with images: it has none \(of .*\)\. Received: image$"),
        ({"splits": {**SPLITS, "test": "text"}}, "`splits.test` must be .*Received: splits.test=text"),
    ],
)
def test_tfds_refuses(fields, message, toy_data_set):
    source = ImageSource(**{"tfds": "ikelos_toy", "splits": SPLITS, "data_dir": toy_data_set(), **fields})
    with pytest.raises(UserError, match=message):
        Reader(source).identity()


def test_ours_has_its_own_ids(tmp_path):
    from ikelos.pipelines.data.builders import font_letters

    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("LETTERS", "AB"), ("_SIZES", (20,)), ("_ANGLES", (0,))):
            patch.setattr(font_letters, name, value)
        font_letters.FontLetters(data_dir=str(tmp_path)).download_and_prepare()
    found = list(Reader(ImageSource(tfds="font_letters", splits=SPLITS, data_dir=str(tmp_path))).images("test"))
    assert [image.name for image in found[:2]] == ["DejaVuSans-Bold/A/20/0", "DejaVuSans-Bold/B/20/0"]
    assert [image.label for image in found] == [0, 1] * 3
    assert pixels(found[0].content, (28, 28, 1), resize=False).shape == (28, 28, 1)


# Files


def test_folders_are_classes(folder):
    fill(folder)
    found = of_files("validation")
    assert [image.name for image in found] == ["validation/cat/a.png", "validation/dog/a.png"]
    assert [image.label for image in found] == ["cat", "dog"]
    assert {image.label for image in of_files(label_feature=None)} == {None}
    assert reader().class_names() is None
    sizes = [(folder / "validation" / name / "a.png").stat().st_size for name in ("cat", "dog")]
    assert reader().size("validation") == Size(sum(sizes), "bytes")
    assert [image.size for image in found] == sizes


def test_the_class_of_a_link_is_the_folder_it_is_listed_in(folder):
    fill(folder)
    for split in SPLITS:
        for name in ("cat", "dog"):
            path = folder / split / name / "a.png"
            path.rename(folder / f"{split}{name}.png")
            path.symlink_to(folder / f"{split}{name}.png")
    (folder / "train" / "cow").symlink_to(folder / "train" / "dog")
    assert [(image.name, image.label) for image in of_files()] == [
        (f"train/{name}/a.png", name) for name in ("cat", "cow", "dog")
    ]


def write_records(path, examples):
    def feature(value):
        if isinstance(value, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in examples:
            features = {name: feature(value) for name, value in example.items()}
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


@pytest.mark.parametrize("label", [7, b"cat"])
def test_records(folder, label):
    content = png(np.full(SHAPE, 77))
    for split in SPLITS:
        write_records(folder / split / "a.tfrecord", [{"picture": content, "class": label}])
    (found,) = of_files("test", image_feature="picture", label_feature="class")
    assert (found.name, found.content, found.size) == ("test/a.tfrecord:0", content, len(content))
    assert found.label == (label if isinstance(label, int) else "cat")
    with pytest.raises(UserError, match=r"example 0 must have one bytes value in the feature 'image'.*class, picture"):
        of_files()
    with pytest.raises(UserError, match=r"example 0 must have one bytes value in the feature 'kind'.*class, picture"):
        of_files(image_feature="picture", label_feature="kind")


def test_reading_goes_on_behind_any_image(folder):
    fill(folder, ["a", "d"])
    for name, number in (("b", 2), ("c", 1)):
        examples = [{"image": png(np.full(SHAPE, shade)), "label": b"x"} for shade in range(number)]
        write_records(folder / "train" / f"{name}.tfrecord", examples)
    whole = of_files()
    names = ["train/a/a.png", "train/b.tfrecord:0", "train/b.tfrecord:1", "train/c.tfrecord:0", "train/d/a.png"]
    assert [image.name for image in whole] == names
    for start in range(6):
        assert of_files(start=start) == whole[start:]


def test_unknown_suffix(folder):
    fill(folder)
    (folder / "train" / "cat" / "x.tiff").write_text("")
    with pytest.raises(UserError, match=r"with the suffixes \.png, \.jpg, .*\. Received: train/cat/x\.tiff$"):
        of_files()


# Pixels


def test_other_sizes_and_channels_are_fitted(folder):
    write(folder / "b.png", np.full([8, 12, 3], 200))
    write(folder / "c.png", np.full([4, 6, 2], [100, 255]))
    (folder / "d.jpg").write_bytes(tf.io.encode_jpeg(np.full([5, 5, 1], 50, np.uint8)).numpy())
    for name, shade in (("b.png", 200), ("c.png", 100), ("d.jpg", 50)):
        for channels in (1, 3):
            found = pixels(folder / name, (4, 6, channels), resize=True)
            np.testing.assert_array_equal(found, np.full([4, 6, channels], shade))
            assert found.dtype == np.uint8


def test_grey_of_a_colour_is_as_bright():
    colour = np.random.default_rng(0).integers(0, 256, [32, 32, 3]).astype(np.uint8)
    grey = pixels(colour, (16, 8, 1), resize=True)
    assert grey.shape == (16, 8, 1)
    # With the usual weights of red, green and blue.
    assert grey.mean() == pytest.approx((colour @ [0.299, 0.587, 0.114]).mean(), abs=1.5)


def test_images_that_cannot_be_taken_say_why(folder):
    (folder / "x.png").write_text("not an image")
    write(folder / "large.png", np.zeros([4, 7, 1]))
    (folder / "cut.png").write_bytes(png(np.random.default_rng(0).integers(0, 256, SHAPE))[:-20])
    other = "not a PNG, JPEG, GIF, BMP or WebP image"
    for content, kind, why in (
        (folder / "x.png", "not an image", f"is text, {other}"),
        (b"", "not an image", f"is empty, {other}"),
        (folder / "cut.png", "damaged", "is a PNG that is truncated or damaged"),
        (folder / "large.png", "of another size", "is 4 x 7, not 4 x 6 (data.source.resize=false)"),
    ):
        with pytest.raises(FaultError) as caught:
            pixels(content, SHAPE, resize=False)
        assert (caught.value.kind, caught.value.why) == (kind, why)


def test_a_file_that_cannot_be_read_now_is_an_error_and_no_fault(folder):
    with pytest.raises(UserError, match=rf"^cannot read {folder}/gone.png: No such file or directory$"):
        pixels(folder / "gone.png", SHAPE, resize=False)


def test_any_range_of_a_data_set_of_several_files_comes_in_the_order_of_the_files(data_set_of_files):
    splits = {"train": "train[20:]+test[2:]+train[:9]", "validation": "train", "test": "test"}
    whole = {}
    for file_format in ("tfrecord", "array_record"):
        source = ImageSource(tfds="ikelos_files", splits=splits, data_dir=data_set_of_files(file_format))
        found = Reader(source)
        assert len(found.builder.info.splits["train"].filepaths) == 4
        everything = list(found.images("train"))
        whole[file_format] = [(image.name, image.content, image.label) for image in everything]
        for start, stop in ((0, 5), (3, 12), (11, 19), (18, 19)):
            assert list(found.images("train", chunk=[start, stop])) == everything[start:stop]
            assert list(found.images("train", 2, chunk=[start, stop])) == everything[start + 2 : stop]
    assert len(whole["tfrecord"]) == 5 + 5 + 9
    assert whole["tfrecord"] == whole["array_record"]
