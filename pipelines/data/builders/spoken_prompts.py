"""Spoken prompts of a telephone system, and synthetic speech, as a TensorFlow Datasets builder."""

import contextlib
import gzip
import io
import itertools
import json
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import wave
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from ikelos.pipelines.data.builders import chitchat_conversations as chitchat
from ikelos.pipelines.data.builders import espeak, packages, spoken_texts
from ikelos.pipelines.data.config import SPLITS, Split
from ikelos.pipelines.errors import UserError

RATE = 8000
RECORDED, KNOWN_VOICES, UNSEEN_VOICES = "recorded voice", "known voices", "unseen voices"

# SHA-256 checksums of the packages, which are the same in Debian 12 and in Debian 13, and of the wheels.
_SOUNDS = ("asterisk-core-sounds-en-wav", ("2be3ea287d83299d143815fa804f11179a75b7affd4a758b98b55f5afc18a35d",))
_TRANSCRIPTS = ("asterisk-core-sounds-en", ("973e797d28e37fa6ca3c0a9d6fa717e77cf1268ae916bf09fd3503113cdffa50",))
_ESPEAK = (
    "espeakng-loader",
    "0.2.4",
    (
        "08721baf27d13d461f6be6eed9a65277e70d68234ff484fd8b9897b222cdcb6d",  # x86-64
        "d1e798141b46a050cdb75fcf3c17db969bb2c40394f3f4a48910655d547508b9",  # ARM
    ),
)

_ACCENTS = ("en-us", "en-us", "en-us", "en-us-nyc", "en", "en-gb-x-rp", "en-gb-scotland", "en-029")
# Variants of voices, without whispering, croaking and robots.
_VARIANTS = """
Alex Alicia Andrea Andy Annie Denis Diogo Gene Gene2 Henrique Jacky Lee Marco Mario Michael Mike Reed RicishayMax
RicishayMax2 RicishayMax3 adam anika announcer antonio aunty belinda benjamin caleb ed edward edward2 f1 f2 f3 f4 f5
grandma grandpa gustave ian iven iven2 iven3 iven4 john kaukovalta klatt klatt3 klatt4 klatt5 klatt6 linda m1 m2 m3 m4
m5 m6 m8 marcelo max michel miguel mike2 norbert pablo pedro quincy rob robert sandro shelby travis victor zac
"""
# The variants of eight names, those with the smallest SHA-256 checksums: `steph2` has the name `steph`, but each of
# `klatt`, `f` and `m` with its number is a name of its own.
UNSEEN_VARIANTS = "Hugo Nguyen boris david klatt2 m7 paul steph steph2 steph3"
_SPEED, _PITCH, _RANGE = (115, 190), (20, 80), (30, 80)
"""Limits of words a minute, of the pitch and of its range."""

_RENDERINGS = 6
"""Times that each prompt for training is synthesised."""
_SIZES: dict[Split, dict[str, dict[str, int]]] = {
    "train": {KNOWN_VOICES: {"chats": 5500, "spelled": 1500, "counted": 1500}},
    "validation": {KNOWN_VOICES: {"chats": 100, "spelled": 25, "counted": 25}},
    "test": {
        KNOWN_VOICES: {"chats": 100, "spelled": 25, "counted": 25},
        UNSEEN_VOICES: {"chats": 100, "spelled": 25, "counted": 25},
    },
}
"""Number of synthetic utterances by the source of their texts, without those of the prompts."""

_DESCRIPTION = """\
The 551 spoken English prompts of the telephone system Asterisk (one voice, Allison Smith; 8 kHz; Debian packages
asterisk-core-sounds-en and -en-wav), and synthetic speech by espeak-ng in some 75 voices with six accents of English,
at various speeds and pitches, resampled to 8 kHz. Texts are in lower case, with numbers in words and without
punctuation.

A hash of the text decides its split, so no text is in two of them, whoever speaks it. The texts of the synthetic
speech come from sources that were chosen before any model was trained: the texts of the prompts for training, clauses
of the chats in the Python package chitchat-dataset, sequences of letters, words of the phonetic alphabet and digits,
and numbers, dates and times in words. Ten voices are in the test split alone.

The feature `group` is `recorded voice`, `known voices` or `unseen voices`.
"""

LICENCE = """\
The prompts are under CC BY-SA 3.0 (Allison Smith, Digium). chitchat-dataset is under the MIT licence. The synthetic
speech is made by espeak-ng, a program under the GPL 3, which is fetched, but is no part of the data.
"""


class SpokenPrompts(tfds.core.GeneratorBasedBuilder):
    """Spoken prompts of one voice, and synthetic speech of many; texts and voices are held out.

    Features: `id` (`vm-login`, `train/17`), `audio` (a FLAC file of 8 kHz), `text`, `group` and `voice`.
    """

    name = "spoken_prompts"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Prompts of Asterisk 1.6.1 and speech of espeak-ng 1.52."}

    def _info(self):
        text = tfds.features.Text
        # A file, half as large as its samples; `tfds.features.Audio` would take up to 10 bytes for each of them.
        audio = tfds.features.Tensor(shape=(), dtype=np.object_, doc="a FLAC file")
        features = {"id": text(), "audio": audio, "text": text(), "group": text(), "voice": text()}
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("audio", "text"),
            homepage="https://www.asterisk.org",
            license=LICENCE,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        folder = pathlib.Path(dl_manager.download_dir) / "manual"
        debian = (packages.debian(self.name, *package, folder) for package in (_SOUNDS, _TRANSCRIPTS))
        recorded = prompts(*debian)
        chats = spoken_texts.chats(packages.wheel(self.name, *chitchat.PACKAGE, folder) / chitchat.DATA)
        program = packages.wheel(self.name, *_ESPEAK, folder) / "espeakng_loader"
        return {split: self._generate_examples(split, recorded, chats, program) for split in SPLITS}

    def _generate_examples(self, split, recorded, chats, program):
        own = {name: known for name, known in recorded.items() if spoken_texts.split_of(known[1]) == split}
        for index, (name, (path, text)) in enumerate(own.items()):
            audio = flac_file(samples(path))
            yield index, {"id": name, "audio": audio, "text": text, "group": RECORDED, "voice": "allison"}
        spoken = utterances(split, sorted({text for _, text in own.values()}), chats)
        with Speaker(program) as speaker:
            for number, (group, (voice, *how, text)) in enumerate(spoken):
                audio, name = flac_file(speaker.say(voice, *how, text)), f"{split}/{number}"
                yield len(own) + number, {"id": name, "audio": audio, "text": text, "group": group, "voice": voice}


Spoken = tuple[str, int, int, int, str]
"""Voice, words a minute, pitch, range of the pitch, and text, as the program `espeak` takes them."""


def prompts(sounds: pathlib.Path, transcripts: pathlib.Path) -> dict[str, tuple[pathlib.Path, str]]:
    """Returns the file and the text of each spoken prompt by its name, sorted; those without words are left out.

    Args:
        sounds: Folder with the unpacked files of the package with the sounds.
        transcripts: That of the package with the transcripts.
    """
    (index,) = transcripts.glob("usr/share/doc/*/core-sounds-en.txt.gz")
    (folder,) = sounds.glob("usr/share/asterisk/sounds/en_*")
    found = {}
    for line in gzip.decompress(index.read_bytes()).decode("utf-8").splitlines():
        name, colon, written = line.partition(":")
        path, text = folder / f"{name}.wav", spoken_texts.plain(written)
        if colon and not name.startswith((";", "silence/")) and text and path.is_file():
            found[name] = (path, text)
    return dict(sorted(found.items()))


def utterances(split: Split, own: list[str], chats: list[str]) -> Iterator[tuple[str, Spoken]]:
    """Yields the group, and what is spoken how, of the synthetic utterances of a split; the same in each call.

    Args:
        split: The split, to which all texts belong.
        own: Texts of the split's prompts, which are spoken too if it is the training split.
        chats: Texts of all splits, of which those of this split are taken.
    """
    draw = random.Random(f"spoken_prompts {split}")
    mine = [text for text in chats if spoken_texts.split_of(text) == split]
    start = 0
    for group, sizes in _SIZES[split].items():
        sources = {
            "chats": iter(spoken_texts.varied(mine[start:], sizes["chats"])),
            "spelled": spoken_texts.spelled(draw),
            "counted": spoken_texts.counted(draw),
        }
        start += len(mine) // len(_SIZES[split])
        texts = [text for text in own for _ in range(_RENDERINGS)] if split == "train" else []
        for source, size in sizes.items():
            fitting = (text for text in sources[source] if spoken_texts.split_of(text) == split)
            texts += itertools.islice(fitting, size)
        variants = (UNSEEN_VARIANTS if group == UNSEEN_VOICES else _VARIANTS).split()
        for text in texts:
            voice = f"{draw.choice(_ACCENTS)}+{draw.choice(variants)}"
            yield group, (voice, draw.randint(*_SPEED), draw.randint(*_PITCH), draw.randint(*_RANGE), text)


def samples(path: pathlib.Path) -> np.ndarray:
    """Returns the samples of a prompt, int16.

    Raises:
        UserError: If the file does not have 16 bits, one channel and 8 kHz.
    """
    with wave.open(str(path)) as file:
        found = (file.getsampwidth(), file.getnchannels(), file.getframerate())
        if found != (2, 1, RATE):
            raise UserError(f"{path} must have 2 bytes a sample, 1 channel and {RATE} Hz. Received: {found}")
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)


def flac_file(audio: np.ndarray) -> bytes:
    """Returns the bytes of a FLAC file with samples int16 at 8 kHz."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, audio, RATE, "PCM_16", format="FLAC")
    return file.getvalue()


class Speaker(contextlib.AbstractContextManager):
    """Synthetic voices: espeak-ng in a process of its own, from which the samples come through a pipe."""

    def __init__(self, folder: pathlib.Path):
        """Keeps the folder with the library and its data; the process begins with the context."""
        self._arguments = [str(folder / "libespeak-ng.so"), str(folder)]

    def __enter__(self) -> "Speaker":
        """Starts the process."""
        command = [sys.executable, "-I", espeak.__file__, *self._arguments]
        pipe = subprocess.PIPE
        # In a file, as a pipe that nobody reads would stop the process once it is full of warnings.
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._errors)
        self._rate = self._number()
        return self

    def __exit__(self, *exception: object) -> None:
        """Ends the process."""
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            stream.close()  # type: ignore[union-attr]
        self._process.wait()

    def say(self, *spoken: str | int) -> np.ndarray:
        """Returns the samples of a text, int16 at 8 kHz, given a `Spoken`.

        Raises:
            UserError: If espeak-ng cannot speak it.
        """
        from scipy import signal

        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(spoken).encode() + b"\n")  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
        found = np.frombuffer(self._read(2 * self._number()), np.int16).astype(np.float32)
        divisor = np.gcd(RATE, self._rate)
        slower = signal.resample_poly(found, RATE // divisor, self._rate // divisor)
        return np.clip(np.round(slower), -32768, 32767).astype(np.int16)

    def _number(self) -> int:
        return struct.unpack("=I", self._read(4))[0]

    def _read(self, size: int) -> bytes:
        content = self._process.stdout.read(size)  # type: ignore[union-attr]
        if len(content) < size:
            self._process.wait()
            self._errors.seek(0)
            words = self._errors.read().decode(errors="replace").strip()
            raise UserError(f"spoken_prompts: espeak-ng ended before a text was spoken: {words}")
        return content
