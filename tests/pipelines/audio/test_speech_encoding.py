import json

import numpy as np
import pytest

from ikelos.pipelines.audio.config import AudioSource
from ikelos.pipelines.audio.pcm import wav_file
from ikelos.pipelines.audio.speech_encoding import AUDIO, TEXT, TOKENS, SpeechPreparation
from ikelos.pipelines.data import preparation
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.config import Vocabulary
from ikelos.pipelines.text.vocabulary.special import END

SPLITS = ("train", "validation", "test")
SAMPLES = np.array([0, 1, -1, 32767, -32768, 1234], np.int16)
CHARACTERS = Vocabulary(kind="character", size=None)


@pytest.fixture
def source(tmp_path):
    contents = {
        "good.wav": wav_file(SAMPLES, 8000),
        "faster.wav": wav_file(np.zeros(160, np.int16), 16000),
        "none.wav": wav_file(SAMPLES[:0], 8000),
        "long.wav": wav_file(np.zeros(80_001, np.int16), 8000),
        "broken.wav": b"RIFF and more",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for split in SPLITS:
        lines = [
            "broken.wav\tx",
            f"good.wav\t {split}  text ",
            "faster.wav\tü",
            "none.wav\tx",
            "good.wav\t",
            "long.wav\tx",
        ]
        (tmp_path / f"{split}.tsv").write_bytes("\n".join([*lines, "missing.wav\tx"]).encode() + b"\ngood.wav\t\xff")
    files = {split: [f"{tmp_path}/{split}.tsv"] for split in SPLITS}
    return AudioSource.model_validate_json(json.dumps({"files": files, "allowed_faults": 0.9}))


def prepare(source, folder=None, rate=8000):
    found = SpeechPreparation(source, CHARACTERS, rate, 10.0)
    return preparation.prepare(found if folder is None else found.reusing(folder))


def test_stores_have_samples_tokens_and_texts(source):
    found = prepare(source)
    store, words = found.splits["test"], found.learned.vocabulary
    assert store.texts(TEXT) == ["test text", "ü"]
    for tokens, text in zip(store.ragged(TOKENS), store.texts(TEXT), strict=True):
        np.testing.assert_array_equal(tokens, [*words.tokens(text), END])
    np.testing.assert_array_equal(store.ragged(AUDIO)[0], SAMPLES)
    assert store.ragged(AUDIO).lengths.tolist() == [6, 80]
    assert store.empty == 2
    assert sum(store.skipped.values()) == 4
    faults = "\n".join(store.faults)
    for reason in ("test.tsv:1 is ", "10.0001", "test.tsv:7 names a file that does not exist", "is not valid UTF-8"):
        assert reason in faults
    assert found.learned.example == wav_file(SAMPLES, 8000)


def test_the_vocabulary_knows_the_training_texts_alone(source):
    assert set(prepare(source).learned.vocabulary.characters) == set("train textüx")


def test_a_vocabulary_is_reused_and_the_rate_decides_the_samples(source, tmp_path):
    first = prepare(source)
    (tmp_path / "train.tsv").write_text("good.wav\txyz")
    second = prepare(source, first.folder / "preprocessing", rate=16000)
    assert second.learned.vocabulary.characters == first.learned.vocabulary.characters
    assert second.splits["test"].ragged(AUDIO).lengths.tolist() == [12, 160]
    with pytest.raises(UserError, match=r"`data\.vocabulary` must be the vocabulary of the run: kind=character"):
        SpeechPreparation(source, Vocabulary(kind="byte", size=None), 8000, 10.0).reusing(
            first.folder / "preprocessing"
        )


def test_a_validation_recording_is_needed(source, tmp_path):
    (tmp_path / "validation.tsv").write_text("none.wav\tx")
    with pytest.raises(UserError, match="The split 'validation' of recordings must have a recording that can be used"):
        prepare(source)
