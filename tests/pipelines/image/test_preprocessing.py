import errno
import os
import pathlib
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ikelos.pipelines.data import writing
from ikelos.pipelines.data.preparation import prepare
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.image import preprocessing, reading
from ikelos.pipelines.image.config import ImageSource
from ikelos.pipelines.image.preprocessing import ImagePreparation, ImagePreprocessing

SPLITS = {"train": "train", "validation": "validation", "test": "test"}
SHAPE = (4, 6, 1)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Makes a working directory with an image of each class in each split, with ascending shades."""
    monkeypatch.chdir(tmp_path)
    for number, (split, name) in enumerate((split, name) for split in SPLITS for name in ("cat", "dog")):
        write(tmp_path / split / name / "a.png", np.full(SHAPE, 10 * number + 10))
    return tmp_path


def write(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tf.io.encode_png(np.asarray(values, np.uint8)).numpy())


def of_files(shape=SHAPE, **changes):
    return ImagePreparation(ImageSource(files={split: (f"{split}/**/*.*",) for split in SPLITS}, **changes), shape)


def test_names_and_example_come_back(tmp_path):
    example = np.arange(24, dtype=np.uint8).reshape(SHAPE)
    names = ("lying", "zwölf", "\\xff")
    ImagePreprocessing(names, example).save(tmp_path)
    again = of_files().load(tmp_path)
    assert again.class_names == names
    np.testing.assert_array_equal(again.example, example)


def test_folders_become_labels(folder):
    found = prepare(of_files())
    assert found.learned.class_names == ("cat", "dog")
    np.testing.assert_array_equal(found.learned.example, np.full(SHAPE, 10))
    assert list(found.splits["validation"].ids) == ["validation/cat/a.png", "validation/dog/a.png"]
    np.testing.assert_array_equal(found.splits["test"].labels, [0, 1])
    np.testing.assert_array_equal(found.splits["test"].array("image")[1], np.full(SHAPE, 60))
    preparation = of_files(label_feature=None)
    without = prepare(preparation)
    assert without.splits["test"].labels is None
    assert preparation.class_names(without.learned) == ()


def test_classes_that_are_numbers_are_sorted_as_numbers(folder):
    for split in SPLITS:
        with tf.io.TFRecordWriter(str(folder / split / "a.tfrecord")) as writer:
            for label in (10, 9):
                image = tf.train.BytesList(value=[tf.io.encode_png(np.zeros(SHAPE, np.uint8)).numpy()])
                features = {
                    "image": tf.train.Feature(bytes_list=image),
                    "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
                }
                writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    source = ImageSource(files={split: (f"{split}/a.tfrecord",) for split in SPLITS})
    found = prepare(ImagePreparation(source, SHAPE))
    assert found.learned.class_names == ("9", "10")
    assert found.splits["train"].labels.tolist() == [1, 0]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_class_that_training_lacks_is_told_before_any_image_is_decoded(folder, monkeypatch, split):
    write(folder / split / "cow" / "a.png", np.zeros(SHAPE))
    monkeypatch.setattr(preprocessing, "pixels", None)
    message = (
        rf"^the class 'cow' of {split}/cow/a.png in the split '{split}' must .* data.source.label_feature=null takes"
    )
    with pytest.raises(UserError, match=message):
        prepare(of_files())


def test_what_is_learned_from_is_told(folder):
    preparation, read = of_files(), []
    preparation.learn(read.append)
    assert sum(read) == preparation.size("train").number
    assert len(read) == 2


def test_a_file_that_cannot_be_read_ends_the_preparation_and_is_no_fault(folder, monkeypatch):
    write(folder / "train" / "dog" / "b.png", np.zeros(SHAPE))
    original = pathlib.Path.read_bytes

    def read(path):
        if path.name == "b.png":
            raise OSError(errno.EIO, "Input/output error")
        return original(path)

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "read_bytes", read)
        with pytest.raises(UserError, match=r"^cannot read train/dog/b.png: Input/output error$"):
            prepare(of_files(allowed_faults=0.9))
    assert len(prepare(of_files()).splits["train"]) == 3


def test_both_formats_of_data_sets_give_the_same_store(toy_data_set):
    found = []
    for file_format in ("tfrecord", "array_record"):
        source = ImageSource(tfds="ikelos_toy", splits=SPLITS, data_dir=toy_data_set(file_format))
        found.append(prepare(ImagePreparation(source, SHAPE)))
        assert found[-1].learned.class_names == ("cat", "dog")
    for split, store in found[0].splits.items():
        assert store.sha256() == found[1].splits[split].sha256()


@pytest.mark.parametrize("label", [-1, 2])
def test_an_image_of_no_class(toy_data_set, label, monkeypatch):
    def examples(*_):
        yield "a", {"image": np.zeros(SHAPE, np.uint8), "label": label}

    monkeypatch.setattr(reading.sources, "examples", examples)
    source = ImageSource(tfds="ikelos_toy", splits=SPLITS, data_dir=toy_data_set())
    message = (
        f"^the label of a in the split 'train' must be from 0 to 1. Received: {label}. data.source.label_feature=null"
    )
    with pytest.raises(UserError, match=message):
        prepare(ImagePreparation(source, SHAPE))
    without = prepare(ImagePreparation(source.model_copy(update={"label_feature": None}), SHAPE))
    assert without.splits["test"].labels is None


def test_another_shape_file_or_resizing_is_other_data_and_a_share_of_faults_is_not(folder):
    folders = {
        "this": prepare(of_files()).folder,
        "shape": prepare(of_files((4, 6, 3))).folder,
        "resize": prepare(of_files(resize=False)).folder,
        "label": prepare(of_files(label_feature=None)).folder,
    }
    assert prepare(of_files(allowed_faults=0.5)).folder == folders["this"]
    write(folder / "test" / "cat" / "a.png", np.full(SHAPE, 1))
    folders["file"] = prepare(of_files()).folder
    assert len(set(folders.values())) == 5


def test_what_is_prepared_already_is_not_read(folder, monkeypatch):
    made = prepare(of_files())
    monkeypatch.setattr(reading.Reader, "images", None)
    assert prepare(of_files()).folder == made.folder


def test_faults_are_named(folder):
    (folder / "train" / "cat" / "b.png").write_text("not an image")
    write(folder / "train" / "dog" / "c.png", np.zeros([4, 7, 1]))
    with pytest.raises(UserError) as caught:
        prepare(of_files(resize=False))
    assert str(caught.value).splitlines() == [
        "train/cat/b.png is text, not a PNG, JPEG, GIF, BMP or WebP image",
        "train/dog/c.png is 4 x 7, not 4 x 6 (data.source.resize=false)",
        "2 of 4 examples of the split 'train' are faulty (1 not an image, 1 of another size), more than the share "
        "data.source.allowed_faults=0. Fix them, or leave them out: --set data.source.allowed_faults=0.5",
    ]
    train = prepare(of_files(resize=False, allowed_faults=0.5)).splits["train"]
    assert list(train.ids) == ["train/cat/a.png", "train/dog/a.png"]
    assert train.labels.tolist() == [0, 1]
    assert train.skipped == {"not an image": 1, "of another size": 1}


def test_the_example_is_the_first_image_that_can_be_taken(folder):
    (folder / "train" / "cat" / "a.png").write_text("not an image")
    np.testing.assert_array_equal(of_files().learn(lambda _: None).example, np.full(SHAPE, 20))
    (folder / "train" / "dog" / "a.png").write_text("not an image")
    with pytest.raises(UserError) as caught:
        of_files().learn(lambda _: None)
    assert str(caught.value).splitlines() == [
        *(f"train/{name}/a.png is text, not a PNG, JPEG, GIF, BMP or WebP image" for name in ("cat", "dog")),
        "The split 'train' of images has no image that can be used.",
    ]


def test_files_whose_names_are_not_utf8_are_prepared(folder):
    for split in SPLITS:
        os.rename(os.fsencode(folder / split / "cat" / "a.png"), os.fsencode(folder / split / "cat") + b"/\xff.png")
        os.rename(os.fsencode(folder / split / "cat"), os.fsencode(folder / split) + b"/\xe9")
    (folder / "train" / "dog" / "b.png").write_bytes(b"")
    found = prepare(of_files(allowed_faults=0.5))
    assert found.learned.class_names == ("\\xe9", "dog")
    assert list(found.splits["test"].ids) == ["test/dog/a.png", "test/\\xe9/\\xff.png"]
    assert found.splits["test"].labels.tolist() == [1, 0]
    np.testing.assert_array_equal(found.splits["test"].array("image")[1], np.full(SHAPE, 50))


def test_images_in_one_folder_are_shared_out_and_have_its_class(folder):
    for index in range(40):
        write(folder / "photos" / f"{index}.PNG", np.full(SHAPE, index))
    found = prepare(ImagePreparation(ImageSource(files="photos", splits={"validation": 0.2, "test": 0.2}), SHAPE))
    assert found.learned.class_names == ("photos",)
    assert sorted(name for store in found.splits.values() for name in store.ids) == sorted(
        f"photos/{index}.PNG" for index in range(40)
    )


def test_class_folders_are_shared_out_and_a_link_into_another_class_is_refused(folder):
    for name in ("cat", "dog"):
        for index in range(30):
            write(folder / "photos" / name / f"{index}.png", np.full(SHAPE, index))
    source = ImageSource(files="photos", splits={"validation": 0.2, "test": 0.2})
    found = prepare(ImagePreparation(source, SHAPE))
    assert found.learned.class_names == ("cat", "dog")
    for store in found.splits.values():
        assert [found.learned.class_names[label] for label in store.labels] == [
            name.split("/")[1] for name in store.ids
        ]
    assert sum(len(store) for store in found.splits.values()) == 60
    (folder / "photos" / "dog" / "x.png").symlink_to("../cat/7.png")
    with pytest.raises(UserError, match=r"Received: photos/cat/7\.png and photos/dog/x\.png, the same file$"):
        prepare(ImagePreparation(source, SHAPE))
    without = prepare(ImagePreparation(source.model_copy(update={"label_feature": None}), SHAPE))
    assert sum(len(store) for store in without.splits.values()) == 60


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_sizes_may_be_of_numpy(folder, kind):
    source = of_files()._source
    assert prepare(ImagePreparation(source, tuple(map(kind, SHAPE)))).folder == prepare(of_files()).folder
    with pytest.raises(ValueError, match=r"`shape` must be a height, .*\. Received: shape=\[4, 6, 2\]"):
        ImagePreparation(source, (4, 6, 2))


class KilledError(Exception):
    pass


def content(folder):
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("data_set", [None, "tfrecord", "array_record"])
def test_one_that_was_killed_goes_on_and_ends_the_same(folder, monkeypatch, toy_data_set, data_set):
    monkeypatch.setattr(writing, "PART_BYTES", 60)  # about two images
    monkeypatch.setattr(preprocessing, "_WAITING", 1)
    for index in range(3):
        write(folder / "train" / "cat" / f"{index}.png", np.full(SHAPE, index))
    (folder / "train" / "cat" / "3.png").write_text("not an image")
    if data_set is None:
        preparation = of_files(allowed_faults=0.5)
    else:
        source = ImageSource(tfds="ikelos_toy", splits=SPLITS, data_dir=toy_data_set(data_set))
        preparation = ImagePreparation(source, SHAPE)
    whole = prepare(preparation)
    original = reading.Reader.images
    for dies_at in (2, 4):
        monkeypatch.setenv("IKELOS_CACHE", str(folder / f"cache {dies_at}"))
        asked = []

        def images(self, split, start=0, asked=asked, dies_at=dies_at):
            asked.append((split, start))
            for index, image in enumerate(original(self, split, start), start):
                if (
                    index == dies_at and len(asked) == 5
                ):  # after the labels of three splits, and the example: the images
                    raise KilledError
                yield image

        with monkeypatch.context() as patch:
            patch.setattr(reading.Reader, "images", images)
            if data_set is not None:
                asked += ["the data set tells its labels"] * 3
            with pytest.raises(KilledError):
                prepare(preparation)
            again = prepare(preparation)
        assert content(again.folder) == content(whole.folder)
        split, start = asked[5]
        assert split == "train"
        assert dies_at - 4 <= start <= dies_at
        assert start or dies_at < 4


def test_images_are_decoded_in_threads_and_kept_in_order():
    names = set()

    def slow(number):
        names.add(threading.current_thread().name)
        time.sleep(0.01 if number % 2 else 0)
        return -number

    taken, given = 0, 0

    def items():
        nonlocal taken
        for number in range(200):
            taken += 1
            yield number

    for number, result in preprocessing._in_threads(slow, items()):
        assert (number, result) == (given, -given)
        given += 1
        assert taken - given <= preprocessing._WAITING
    assert given == 200
    assert len(names) == 2


def test_the_first_images_are_shown(folder):
    for index in range(60):
        Image.fromarray(np.full([4, 6], index, np.uint8)).save(folder / "train" / "cat" / f"{index:02}.png")
    preparation = of_files()
    found = prepare(preparation)
    assert preparation.show(found.learned, found.splits["train"]).shape[2] == 1
    assert preparation.show(found.learned, found.splits["test"]).ndim == 3
