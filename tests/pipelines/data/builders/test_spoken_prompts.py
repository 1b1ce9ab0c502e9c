import gzip
import hashlib
import io
import re
import sys

import numpy as np
import pytest
import soundfile

from ikelos.pipelines.audio.pcm import wav_file
from ikelos.pipelines.data import preparation
from ikelos.pipelines.data.builders import espeak, packages, spoken_prompts, spoken_texts
from ikelos.pipelines.data.config import SPLITS
from ikelos.pipelines.errors import UserError

WORDS = [
    "press",
    "dial",
    "enter",
    "your",
    "the",
    "number",
    "name",
    "extension",
    "call",
    "now",
    "please",
    "pound",
    "star",
    "again",
]
CHATS = [f"{a} {b} {c}" for a in WORDS for b in WORDS for c in WORDS[:3]]

# A voice that says a text in as many samples as it has letters, times 100. It runs in the place of espeak-ng.
PRETENDED = """
import json, struct, sys
out = sys.stdout.buffer
out.write(struct.pack("=I", 16000)); out.flush()
for line in sys.stdin.buffer:
    voice, rate, pitch, pitch_range, text = json.loads(line)
    if text == "fail":
        sys.exit("no such text")
    out.write(struct.pack("=I", 100 * len(text)) + struct.pack("=h", 1000) * 100 * len(text)); out.flush()
"""


@pytest.fixture
def sounds(tmp_path):
    """Writes unpacked packages with some prompts; returns their folders."""
    transcripts, lines = (
        tmp_path / "transcripts",
        ["; a comment", "", "beep: [a beep]", "silence/1: (1 second of silence)"],
    )
    folder = tmp_path / "sounds/usr/share/asterisk/sounds/en_US_f_Allison"
    (folder / "silence").mkdir(parents=True)
    (folder / "digits").mkdir()
    names = [f"prompt-{number}" for number in range(90)]
    # Each text is said by two prompts, once with other punctuation.
    texts = [f"{WORDS[number % 9].title()} {WORDS[number // 2 % 14]}{'.' * (number % 2)}" for number in range(0, 90)]
    texts = [f"{CHATS[number // 2 * 7].title()}{'.' * (number % 2)}" for number in range(90)]
    for name, text in [*zip(names, texts, strict=True), ("digits/4", "four"), ("silence/1", ""), ("beep", "")]:
        samples = np.full(80 + len(name), 7, np.int16)
        (folder / f"{name}.wav").write_bytes(wav_file(samples, 8000))
        lines += [f"{name}: {text}"] if text else []
    lines.append("missing: Not recorded.")
    (transcripts / "usr/share/doc/x").mkdir(parents=True)
    (transcripts / "usr/share/doc/x/core-sounds-en.txt.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    return tmp_path / "sounds", transcripts


def test_prompts_without_words_or_sound_are_left_out(sounds):
    found = spoken_prompts.prompts(*sounds)
    assert len(found) == 91
    assert found["digits/4"][1] == "four"
    assert found["prompt-0"][1] == found["prompt-1"][1] == CHATS[0]
    assert spoken_prompts.samples(found["digits/4"][0]).shape == (88,)


def test_a_prompt_of_another_format_is_refused(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav_file(np.zeros(9, np.int16), 16000))
    with pytest.raises(UserError, match=r"a\.wav must have 2 bytes a sample, 1 channel and 8000 Hz"):
        spoken_prompts.samples(tmp_path / "a.wav")


def test_utterances_are_of_their_split_and_the_same_in_each_call(monkeypatch):
    for sizes in (group for groups in spoken_prompts._SIZES.values() for group in groups.values()):
        monkeypatch.setitem(sizes, "chats", 12)
        monkeypatch.setitem(sizes, "spelled", 6)
        monkeypatch.setitem(sizes, "counted", 6)
    found = {split: list(spoken_prompts.utterances(split, [f"own {split}"], CHATS)) for split in SPLITS}
    assert found == {split: list(spoken_prompts.utterances(split, [f"own {split}"], CHATS)) for split in SPLITS}
    assert [spoken[-1] for _, spoken in found["train"]].count("own train") == 6
    for split in ("validation", "test"):
        assert f"own {split}" not in {spoken[-1] for _, spoken in found[split]}
    for split, some in found.items():
        assert {spoken_texts.split_of(spoken[-1]) for _, spoken in some if spoken[-1] != f"own {split}"} == {split}
    unseen = set(spoken_prompts.UNSEEN_VARIANTS.split())
    for split, some in found.items():
        for group, (voice, *_) in some:
            is_unseen = voice.partition("+")[2] in unseen
            assert is_unseen == (group == "unseen voices")
            assert not is_unseen or split == "test"


def test_unseen_voices_are_those_of_the_smallest_checksums():
    names = [*spoken_prompts._VARIANTS.split(), *spoken_prompts.UNSEEN_VARIANTS.split()]
    assert len(names) == len(set(names)) == 85

    def family(name):
        return name if re.match(r"[fm]\d$|klatt", name) else re.sub(r"\d+$", "", name).lower()

    families = sorted({family(name) for name in names}, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    assert {family(name) for name in spoken_prompts.UNSEEN_VARIANTS.split()} == set(families[:8])


@pytest.fixture
def pretended(tmp_path, monkeypatch):
    path = tmp_path / "pretended.py"
    path.write_text(PRETENDED)
    monkeypatch.setattr(espeak, "__file__", str(path))


def test_speech_comes_from_a_process_of_its_own(pretended, tmp_path):
    with spoken_prompts.Speaker(tmp_path) as speaker:
        for text in ("one", "three"):
            samples = speaker.say("voice", 100, 50, 50, text)
            assert (samples.dtype, samples.shape) == (np.int16, (50 * len(text),))
            assert samples[len(samples) // 2] == pytest.approx(1000, abs=2)
        with pytest.raises(UserError, match="espeak-ng ended before a text was spoken: no such text"):
            speaker.say("voice", 100, 50, 50, "fail")


def test_nothing_imports_the_synthesiser():
    assert "espeakng_loader" not in sys.modules


@pytest.fixture
def written(sounds, pretended, tmp_path, monkeypatch):
    """Writes the data set with few utterances and a pretended voice; returns the section of a recipe's source."""
    from ikelos.pipelines.audio.config import AudioSource

    for sizes in (group for groups in spoken_prompts._SIZES.values() for group in groups.values()):
        for source in sizes:
            monkeypatch.setitem(sizes, source, 4)
    folders = dict(zip(("asterisk-core-sounds-en-wav", "asterisk-core-sounds-en"), sounds, strict=True))
    monkeypatch.setattr(packages, "debian", lambda data_set, package, *_: folders[package])
    monkeypatch.setattr(packages, "wheel", lambda *_: tmp_path)
    monkeypatch.setattr(spoken_texts, "chats", lambda path: CHATS)
    spoken_prompts.SpokenPrompts(data_dir=tmp_path / "tfds").download_and_prepare()
    splits = {split: split for split in SPLITS}
    return AudioSource.model_validate(
        {"tfds": "spoken_prompts", "data_dir": str(tmp_path / "tfds"), "splits": splits, "group_feature": "group"}
    )


def check_held_out(source, data_dir):
    """Checks that no text of one split is in another, in any spelling, and that test voices are nowhere else."""
    import tensorflow_datasets as tfds

    builder = spoken_prompts.SpokenPrompts(data_dir=data_dir)
    found = {split: list(tfds.as_numpy(builder.as_dataset(split=split))) for split in SPLITS}
    texts = {split: {spoken_texts.plain(example["text"].decode()) for example in some} for split, some in found.items()}
    assert not texts["train"] & (texts["validation"] | texts["test"])
    assert not texts["validation"] & texts["test"]
    voices = {
        split: {example["voice"].decode().partition("+")[2] for example in some if b"recorded" not in example["group"]}
        for split, some in found.items()
    }
    unseen = set(spoken_prompts.UNSEEN_VARIANTS.split())
    assert voices["test"] & unseen
    assert not (voices["train"] | voices["validation"]) & unseen
    return found, texts


def test_no_text_or_voice_that_is_held_out_reaches_vocabulary_language_model_or_training(written, tmp_path):
    from ikelos.pipelines.audio.speech_encoding import TEXT, TOKENS, SpeechPreparation
    from ikelos.pipelines.text.config import Vocabulary

    found, held = check_held_out(written, tmp_path / "tfds")
    assert {example["group"] for example in found["test"]} == {b"recorded voice", b"known voices", b"unseen voices"}
    audio, rate = soundfile.read(io.BytesIO(found["train"][0]["audio"]), dtype="int16")
    assert (rate, audio.tolist()) == (8000, [7] * len(audio))
    prepared = preparation.prepare(SpeechPreparation(written, Vocabulary(kind="character", size=None), 8000, 60.0))
    train = prepared.splits["train"]
    # What the vocabulary, the language model and the recogniser see comes from this store alone. The texts of joined
    # recordings, which are new, are tested in test_examples.py.
    assert set(train.texts(TEXT)) == held["train"]
    assert set(prepared.learned.vocabulary.characters) == set("".join(held["train"]))
    decoded = {
        prepared.learned.vocabulary.decode(tokens[None].astype(np.int32)).numpy()[0].decode()
        for tokens in train.ragged(TOKENS)
    }
    assert not decoded & (held["test"] | held["validation"])


@pytest.mark.slow
def test_nothing_held_out_is_in_the_training_data_of_the_real_data_set(tmp_path):
    spoken_prompts.SpokenPrompts(data_dir=tmp_path).download_and_prepare()
    found, _ = check_held_out(None, tmp_path)
    recorded = {split: [one for one in some if one["group"] == b"recorded voice"] for split, some in found.items()}
    assert {split: len(some) for split, some in recorded.items()} == {"train": 322, "validation": 46, "test": 183}
    assert {split: len(some) for split, some in found.items()} == {"train": 10616, "validation": 196, "test": 483}
