import json

import pytest
import tensorflow as tf

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.vocabulary.sentencepiece import SentencePieceVocabulary

TEXTS = ["the cat sat on the mat with the other cats\n" * 5, "a bat and a rat and the hat\n" * 5]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_training_is_repeatable(kind, tmp_path):
    models = []
    for run in ("first", "second"):
        (tmp_path / run).mkdir()
        SentencePieceVocabulary.fit(kind, TEXTS, 280).save(tmp_path / run)
        models.append((tmp_path / run / "vocabulary.model").read_bytes())
    assert models[0] == models[1]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_special_ids_come_first_then_the_bytes(kind, tmp_path):
    fitted = SentencePieceVocabulary.fit(kind, TEXTS, 280)
    fitted.save(tmp_path)
    content = json.loads((tmp_path / "vocabulary.json").read_text())
    assert (content["kind"], len(content["pieces"]), fitted.size) == (kind, 280, 280)
    assert content["pieces"][:5] == ["<pad>", "<s>", "</s>", "<unk>", "<0x00>"]
    assert content["pieces"][259] == "<0xFF>"
    # A character that was never seen is spelt in bytes.
    assert fitted.encode(tf.constant(["é\n"])).to_list() == [[4 + b for b in "é\n".encode()]]


def test_frequent_words_are_one_token():
    fitted = SentencePieceVocabulary.fit("bpe", TEXTS, 290)
    assert [len(tokens) for tokens in fitted.encode(tf.constant([" the", " zqk"])).to_list()] == [1, 4]


@pytest.mark.parametrize(
    ("size", "message"), [(None, "`size` must be given"), (20, "size=20"), (100_000, "size=100000")]
)
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_refuses(kind, size, message):
    with pytest.raises(UserError, match=message) as caught:
        SentencePieceVocabulary.fit(kind, TEXTS, size)
    assert "\n" not in str(caught.value)


def test_outlives_tensorflows_caches():
    fitted = SentencePieceVocabulary.fit("bpe", TEXTS, 280)
    encode = tf.function(lambda text: fitted.encode(text).to_tensor())
    before = encode(tf.constant(["the cat"])).numpy().tolist()
    tf.random.set_seed(1)  # clears them
    assert encode(tf.constant(["the cat"])).numpy().tolist() == before
    assert fitted.encode(tf.constant(["the cat"])).to_list() == before
    assert fitted.decode(tf.constant(before)).numpy().tolist() == [b"the cat"]


def test_refuses_empty_text():
    with pytest.raises(UserError, match="cannot fit a bpe vocabulary"):
        SentencePieceVocabulary.fit("bpe", ["", "\n\n"], 300)
