"""Held-out examples decide nothing that is learned from; for voices see data/builders/test_spoken_prompts.py."""

import pytest
import tensorflow as tf

from ikelos.pipelines import task as tasks
from ikelos.pipelines.data import preparation

UNKNOWN = "ß"
"""A character that no other example has."""
ADDED = {
    "dialogue": f'\n{{"turns": ["{UNKNOWN}", "a", "{UNKNOWN} b", "c"]}}',
    "language_modeling": f" {UNKNOWN}",
    "sequence_dynamics": f" {UNKNOWN}",
    "speech_recognition": f"\ntest0.wav\t{UNKNOWN}",
    "number_translation": f"\n{UNKNOWN}\t{UNKNOWN}",
}
"""What is added to the held-out files, by recipe."""


@pytest.mark.parametrize("name", ADDED)
def test_held_out_texts_change_neither_vocabulary_nor_training_data(shrunk, tmp_path, name):
    recipe = shrunk(name)

    def prepared():
        data = preparation.prepare(tasks.of_recipe(recipe).preparation())
        return data.learned.vocabulary, {split: store.sha256() for split, store in data.splits.items()}

    words, before = prepared()
    for split in ("validation", "test"):
        (path,) = (path for path in (tmp_path / "data").glob(f"{split}.*") if path.suffix != ".wav")
        path.write_text(path.read_text() + ADDED[name])
    again, after = prepared()
    assert again.size == words.size
    assert {split for split in before if before[split] != after[split]} == {"validation", "test"}
    assert again.decode(tf.constant([again.tokens(UNKNOWN)], tf.int32))[0].numpy() != UNKNOWN.encode()
