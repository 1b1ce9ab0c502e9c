import pytest

from ikelos.pipelines.text import samples
from ikelos.pipelines.text.config import Samples


@pytest.fixture
def settings():
    return Samples(prompts=None, length=6, temperature=0.8, top_k=0, top_p=0.9)


PROMPTS = ("", "abc ")


def test_samples_begin_with_the_prompts_and_are_the_same_each_time(settings, words, model):
    texts = samples.write(settings, PROMPTS, words, model)
    assert [text.startswith(prompt) for text, prompt in zip(texts, PROMPTS, strict=True)] == [True, True]
    assert texts == samples.write(settings, PROMPTS, words, model)


def test_the_section_tells_the_prompt_from_what_was_written(settings):
    (section,) = samples.section(settings, PROMPTS, ["new", "abc the rest"])
    assert [(sample.prompt, sample.text) for sample in section.samples] == [("", "new"), ("abc ", "the rest")]
    assert section.prose == ["Temperature 0.8, top-k 0, top-p 0.9; the first 2 seeds, not selected."]


def test_without_prompts_there_is_nothing(settings, words, model):
    assert samples.write(settings, (), words, model) == []
    assert samples.section(settings, (), []) == []
