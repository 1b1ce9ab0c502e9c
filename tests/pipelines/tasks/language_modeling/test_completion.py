import pathlib
import re

import keras
import numpy as np
import pytest

from ikelos.pipelines import task as tasks
from ikelos.pipelines.data import preparation
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.evaluation import completion
from ikelos.pipelines.tasks.language_modeling.task import STAGE
from ikelos.serving import StockModel
from ikelos.serving.client import Retry
from ikelos.serving.client.core import Core, iterate
from ikelos.serving.client.transport import Blocking

GUIDE = pathlib.Path(__file__).parents[4] / "serving" / "README.md"
ROW = {"length": [24], "temperature": [0.0], "top_k": [0], "top_p": [1.0], "seed": [0], "stop": [[""]]}


class InProcess(Blocking):
    """A client's way to a model in this process."""

    def __init__(self, model):
        self._model = model

    async def predict(self, signature, inputs, outputs, timeout):
        return self._model.run(signature, inputs)

    async def metadata(self, timeout):
        return self._model.signatures


@pytest.fixture(scope="module")
def client():
    """Returns the client of the guide, as the function `complete(model, prompts, length)`."""
    (example,) = re.findall(r"^```python\n(def complete.*?)^```", (GUIDE).read_text(), re.MULTILINE | re.DOTALL)
    return example


@pytest.fixture
def completing(shrunk):
    """Returns the task of the recipe for completion, its preprocessing, its data and an untrained model."""
    task = tasks.of_recipe(shrunk("text_completion"))
    data = preparation.prepare(task.preparation())
    keras.utils.set_random_seed(0)
    return task, data.learned, data.splits, task.stages(data.learned)[0].build({})


def test_clients_with_the_cache_write_what_generate_writes(
    completing, export_unchecked, tmp_path, client, monkeypatch, capsys
):
    task, preprocessing, _, model = completing
    served = {signature.name: signature for signature in task.signatures(preprocessing, {STAGE: model})}
    assert list(served) == ["serving_default", "generate", "prefill", "decode_step", "detokenize"]
    del served["serving_default"]  # other tests export it
    base_path = tmp_path / "runs" / "text_completion" / "export"
    export_unchecked(base_path, [preprocessing, model], list(served.values()))
    monkeypatch.chdir(tmp_path)
    exec(client, names := {})
    assert capsys.readouterr().out  # what the guide prints
    # Prompts of different lengths, one of them longer than the context of 16.
    prompts = ["the cat sat on", "", "t", "the dog sat on the log. the cat"]
    with StockModel(base_path / "1") as stock:
        rows = {name: value * len(prompts) for name, value in ROW.items()}
        written = [text.decode() for text in stock.run("generate", {"prompt": prompts, **rows})["text"]]
        assert names["complete"](stock, prompts, 24) == written
        core = Core(InProcess(stock), timeout=60, retry=Retry())
        assert ["".join(iterate(core.stream(prompt, 24))) for prompt in prompts] == written


@pytest.mark.usefixtures("_eager")
def test_completion_is_measured_and_shown(completing):
    task, preprocessing, splits, model = completing
    figures = task.evaluate(preprocessing, splits, {STAGE: model})
    found = figures["completion"]
    assert sum(group["tokens"] for group in found["by_position"]) == figures["tokens"]
    assert found["by_position"][-1]["last"] == 15
    assert set(found["copies"]["texts"]) == {"Generated", "Test text"}
    assert found["copies"]["texts"]["Generated"]["shares"]["40"] is None
    assert found["decoding_speed"][0]["length"] == 17
    headings = [section.heading for section in completion.sections(found)]
    assert headings == ["Cost by position in the context", "Copies of the training text", "Speed of decoding"]


def test_a_step_of_an_lstm_equals_a_longer_prompt(built):
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
