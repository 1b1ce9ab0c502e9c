import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from ikelos.pipelines.data.builders import font_letters


def test_a_few_letters_of_each_split(tmp_path, monkeypatch):
    """Draws only some letters: the whole set takes long, and its sizes follow from the number of fonts."""
    monkeypatch.setattr(font_letters, "LETTERS", "AOo")
    monkeypatch.setattr(font_letters, "_SIZES", (20,))
    monkeypatch.setattr(font_letters, "_ANGLES", (0,))
    builder = font_letters.FontLetters(data_dir=tmp_path)
    builder.download_and_prepare()
    found = {split: list(tfds.as_numpy(builder.as_dataset(split=split))) for split in ("train", "validation", "test")}
    fonts = {split: {example["id"].decode().split("/")[0] for example in found[split]} for split in found}
    assert fonts["validation"] == set(font_letters.VALIDATION)
    assert fonts["test"] == set(font_letters.TEST)
    assert len(fonts["train"]) == 16
    assert not fonts["train"] & (fonts["validation"] | fonts["test"])
    assert [len(found[split]) for split in found] == [48, 6, 9]
    assert [font_letters.LETTERS[example["label"]] for example in found["test"]] == list("AOo") * 3


def test_description_counts_right():
    letters, variants = len(font_letters.LETTERS), len(font_letters._SIZES) * len(font_letters._ANGLES)
    held_out = len(font_letters.VALIDATION), len(font_letters.TEST)
    for count in (21, 21 - sum(held_out), *held_out):
        words = {2: "two for validation", 3: "three for the test"}
        assert words.get(count, f"{count} ") in font_letters._DESCRIPTION
        assert f"{count * letters * variants:,}" in font_letters._DESCRIPTION
    assert len(font_letters.fonts()) == 21


@pytest.mark.parametrize("name", sorted(font_letters.fonts()))
def test_letters_fit_their_image(name):
    font = font_letters.fonts()[name]
    for letter in "WMQgjf":
        for angle in font_letters._ANGLES:
            image = font_letters.draw(font, letter, max(font_letters._SIZES), angle)
            assert image.shape == (28, 28, 1)
            assert image.max() > 128
            # Faint edges of a stroke may touch the border, the stroke may not.
            border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
            assert border.max() < 250, (letter, angle)


def test_turns_counterclockwise_and_stands_on_a_line():
    font = font_letters.fonts()["DejaVuSans"]
    upper, lower = (font_letters.draw(font, letter, 20, 0)[..., 0] for letter in "Oo")
    bottom = [np.flatnonzero(image.max(1) > 128)[-1] for image in (upper, lower)]
    top = [np.flatnonzero(image.max(1) > 128)[0] for image in (upper, lower)]
    assert abs(bottom[0] - bottom[1]) <= 1
    assert top[1] - top[0] >= 3
    turned = font_letters.draw(font, "l", 23, 20)[..., 0]
    strokes = [np.flatnonzero(row > 128).mean() for row in turned if (row > 128).any()]
    assert strokes[0] < strokes[-1]  # the top leans to the left


def test_matplotlib_is_not_imported():
    code = "import ikelos.pipelines.data.builders.font_letters as f, sys; f.fonts(); print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
