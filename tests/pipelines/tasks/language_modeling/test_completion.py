import json
import pathlib
import re

import numpy as np
import pytest

from ikelos.pipelines import runner
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.tasks.language_modeling.task import STAGE
from ikelos.serving import StockModel

GUIDE = pathlib.Path(__file__).parents[4] / "serving" / "README.md"
ROW = {"length": [24], "temperature": [0.0], "top_k": [0], "top_p": [1.0], "seed": [0]}


@pytest.fixture(scope="module")
def client():
    """Returns the client of the guide, as the function `complete(model, prompts, length)`."""
    (example,) = re.findall(r"^```python\n(def complete.*?)^```", (GUIDE).read_text(), re.MULTILINE | re.DOTALL)
    return example


def test_a_client_with_the_cache_writes_what_generate_writes(shrunk, tmp_path, client, monkeypatch, capsys):
    overrides = ("training.steps=4", "training.steps_per_epoch=4", "export.max_length=24")
    runner.run(shrunk("text_completion", *overrides), tmp_path / "runs" / "text_completion")
    folder = tmp_path / "runs" / "text_completion"
    monkeypatch.chdir(tmp_path)
    exec(client, names := {})
    assert capsys.readouterr().out  # what the guide prints
    with StockModel(folder / "export" / "1") as model:
        assert set(model.signatures) == {"serving_default", "generate", "prefill", "decode_step", "detokenize"}
        # Prompts of different lengths, one of them longer than the context of 16.
        prompts = ["the cat sat on", "", "t", "the dog sat on the log. the cat"]
        together = names["complete"](model, prompts, 24)
        for prompt, text in zip(prompts, together, strict=True):
            written = model.run("generate", {"prompt": [prompt], **ROW})["text"][0].decode()
            assert text == written
    report = json.loads((folder / "report" / "report.json").read_text())
    headings = [section["heading"] for section in report["sections"]]
    assert headings[-5:-2] == ["Cost by position in the context", "Copies of the training text", "Speed of decoding"]
    measured = json.loads((folder / "evaluation.json").read_text())["model"]
    figures = measured["completion"]
    assert sum(group["tokens"] for group in figures["by_position"]) == measured["tokens"]
    assert set(figures["copies"]["texts"]) == {"Generated", "Test text"}


def test_an_lstm_has_a_state_too(built):
    lstm = "model={architecture: lstm, context: 16, num_layers: 2, size: 16, dropout: 0.0}"
    task, preprocessing, _, model = built(lstm, "export.stepwise=true")
    served = {signature.name: signature for signature in task.signatures(preprocessing, {STAGE: model})}
    after = served["prefill"].function(np.array(["the ca", "do"]))
    longer = served["prefill"].function(np.array(["the cat", "dog"]))
    token = preprocessing.vocabulary.tokens("tg")
    state = {name: value for name, value in after.items() if name != "logits"}
    found = served["decode_step"].function(token, **state)
    for name, value in longer.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6)


def test_a_test_text_that_is_too_short_is_refused(built):
    copies = "copies: {texts: 1, length: 2, ngrams: [1], training_tokens: 9}"
    settings = f"{{decoding_speed: {{lengths: [3, 99], tokens: 2, repeats: 1}}, {copies}}}"
    task, preprocessing, splits, model = built(f"evaluation.completion={settings}")
    with pytest.raises(UserError, match=r"`evaluation.completion.decoding_speed.lengths` must be at most 26, "):
        task.evaluate(preprocessing, splits, {STAGE: model})
