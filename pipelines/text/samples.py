"""Sample texts of a language model, and their section of the report."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from ikelos.pipelines.report import sections
from ikelos.pipelines.text.config import Samples
from ikelos.pipelines.text.decoding import continue_text
from ikelos.pipelines.text.vocabulary import Vocabulary

# Shared by all calls: samples are written each epoch, and tracing the loop takes longer than running it.
_continue_text = tf.function(continue_text, autograph=False)


def write(settings: Samples, prompts: Sequence[str], vocabulary: Vocabulary, model: keras.Model) -> list[str]:
    """Returns each prompt with the model's continuation; the seed is the prompt's index."""
    count = len(prompts)
    if not count:
        return []
    text = _continue_text(
        model,
        vocabulary,
        settings.length,
        tf.constant(prompts),
        tf.fill([count], settings.length),
        tf.fill([count], settings.temperature),
        tf.fill([count], settings.top_k),
        tf.fill([count], settings.top_p),
        tf.range(count, dtype=tf.int64),
    )
    return [prompt + new.decode() for prompt, new in zip(prompts, text.numpy(), strict=True)]


def section(settings: Samples, prompts: Sequence[str], texts: Sequence[str]) -> list[sections.Section]:
    """Returns the report's section with the texts of `write`; an empty list without prompts."""
    if not prompts:
        return []
    return [
        sections.Samples(
            heading="Generated texts",
            prose=[
                f"Temperature {settings.temperature:g}, top-k {settings.top_k}, top-p {settings.top_p:g}; the first "
                f"{len(texts)} seeds, not selected."
            ],
            samples=[
                sections.Sample(f"seed {seed}", prompt, text.removeprefix(prompt))
                for seed, (prompt, text) in enumerate(zip(prompts, texts, strict=True))
            ],
        )
    ]
