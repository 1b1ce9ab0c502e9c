import json

import numpy as np
import pytest

from ikelos.pipelines.data import preparation
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.config import PairSource, Vocabulary
from ikelos.pipelines.text.pair_encoding import PairPreparation
from ikelos.pipelines.text.vocabulary.special import END

SPLITS = ("train", "validation", "test")


@pytest.fixture
def settings(tmp_path):
    for split in SPLITS:
        lines = [f"{split} {number}\t{number} {split} ü" for number in range(9)]
        (tmp_path / f"{split}.tsv").write_text("\n".join([*lines, "only one", "\t", " padded \tgepolstert"]))
    files = {split: [f"{tmp_path}/{split}.tsv"] for split in SPLITS}
    return PairSource.model_validate_json(json.dumps({"files": files, "allowed_faults": 0.5}))


@pytest.fixture
def characters():
    return Vocabulary(kind="character", size=None)


def test_stores_have_tokens_and_texts_of_both_sides(settings, characters):
    found = preparation.prepare(PairPreparation(settings, characters))
    store, words = found.splits["test"], found.learned.vocabulary
    assert len(store) == 10
    assert store.skipped == {"not a pair": 1}
    assert store.empty == 1
    sources, targets = (store.texts(column) for column in ("source_text", "target_text"))
    assert (sources[0], targets[0], sources[-1]) == ("test 0", "0 test ü", "padded")
    for column, texts in (("source", sources), ("target", targets)):
        for tokens, text in zip(store.ragged(column), texts, strict=True):
            np.testing.assert_array_equal(tokens, [*words.tokens(text), END])
    assert found.learned.example == "validation 0"
    assert store.texts("source_text", 2) == sources[:2]


def test_the_vocabulary_knows_the_training_texts_alone(settings, characters):
    words = preparation.prepare(PairPreparation(settings, characters)).learned.vocabulary
    assert set(words.characters) == set("train 012345678üpaddedgepolstert")


def test_texts_that_are_not_utf8_are_faults(settings, characters, tmp_path):
    with (tmp_path / "train.tsv").open("ab") as file:
        file.write(b"\n\xff\tx")
    store = preparation.prepare(PairPreparation(settings, characters)).splits["train"]
    assert store.skipped == {"not a pair": 2}
    assert "train.tsv:13 is not valid UTF-8: invalid start byte" in store.faults[-1]


def test_a_vocabulary_is_reused(settings, characters, tmp_path):
    first = preparation.prepare(PairPreparation(settings, characters))
    (tmp_path / "train.tsv").write_text("xyz\tzyx")
    second = preparation.prepare(PairPreparation(settings, characters).reusing(first.folder / "preprocessing"))
    assert second.learned.vocabulary.characters == first.learned.vocabulary.characters
    with pytest.raises(UserError, match=r"`data\.vocabulary` must be the vocabulary of the run: kind=character"):
        PairPreparation(settings, Vocabulary(kind="byte", size=None)).reusing(first.folder / "preprocessing")
