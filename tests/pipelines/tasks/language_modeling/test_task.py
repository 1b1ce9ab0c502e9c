import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines import runner
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.evaluation import likelihood
from ikelos.pipelines.tasks.language_modeling import task
from ikelos.pipelines.text import windows
from ikelos.pipelines.text.vocabulary.special import BEGIN, END, UNKNOWN
from ikelos.pipelines.training import history
from ikelos.pipelines.training.fit import fit
from ikelos.serving import StockModel


@pytest.fixture
def prepared(tiny, tmp_path):
    """Config, assets and an untrained model."""

    def prepare(*overrides):
        config = tiny(*overrides).config
        folder = tmp_path / "assets"
        folder.mkdir(exist_ok=True)
        task.fit_assets(config, folder)
        assets = task.load_assets(config, folder)
        return config, assets, task.build_model(config, assets)

    return prepare


def test_the_vocabulary_knows_training_text_alone(prepared):
    _, assets, _ = prepared()
    test = assets.splits["test"]
    assert test.tokens[0][-1] == END
    assert (test.tokens[0] == UNKNOWN).sum() == 1  # the é that only the test text has
    assert test.characters == [25]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_changed_data_is_refused(prepared, tmp_path, split):
    config, _, _ = prepared()
    file = tmp_path / f"{split}.txt"
    text = file.read_text()
    file.write_text(text.replace("cat", "cot", 1))
    with pytest.raises(UserError, match=rf"split '{split}' .* run in {tmp_path} .*--workdir"):
        task.load_assets(config, tmp_path / "assets")
    file.write_text(text)
    task.load_assets(config, tmp_path / "assets")


@pytest.mark.parametrize(
    "overrides", [(), ("data.batching=bucketed", "data.buckets=[4, 16]"), ("data.vocabulary.kind=byte",)]
)
def test_examples_begin_with_begin_and_predict_the_next_token(prepared, overrides):
    config, assets, _ = prepared(*overrides)
    (stage,) = task.stages(config, assets)
    batch = next(iter(stage.train(0)))
    x, y = batch["x"].numpy(), batch["y"].numpy()
    assert (x[:, 0] == BEGIN).all()
    np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
    assert len(set(batch["id"].numpy())) == config.training.batch_size


def test_an_untrained_model_costs_about_a_uniform_guess_and_a_bigram_less(prepared):
    config, assets, model = prepared()
    result = task.evaluate(config, assets, {task.STAGE: model})
    (baseline,) = task.baselines(config, assets).values()
    unknown = assets.vocabulary.unknown_cost
    uniform = (26 * math.log(assets.vocabulary.size) + unknown) / 25
    assert result["nats_per_character"] == pytest.approx(uniform, rel=0.05)
    assert result["unknown_tokens"] == 1
    assert baseline["nats_per_character"] < result["nats_per_character"]
    assert list(result["documents"]) == assets.splits["test"].ids


def test_served_likelihood_is_that_of_evaluation(prepared):
    config, assets, model = prepared()
    score = {signature.name: signature for signature in task.signatures(config, assets, {task.STAGE: model})}[
        "serving_default"
    ].function
    text = "the cat sat on the log. é"
    # Evaluation also charges the end of the text, which a text that may go on does not have.
    nll = task.token_nll(config, model, [assets.splits["test"].tokens[0][:-1]])[0]
    outputs = score(text=tf.constant([text]))
    expected = -(nll.sum() + assets.vocabulary.unknown_cost)
    np.testing.assert_allclose(outputs["log_likelihood"], [expected], rtol=1e-5)
    probabilities = np.exp(outputs["next_token_log_probabilities"])
    np.testing.assert_allclose(probabilities.sum(-1), 1.0, rtol=1e-5)


def test_top_tokens_are_the_likeliest_texts(prepared):
    config, assets, model = prepared()
    score = task.signatures(config, assets, {task.STAGE: model})[0].function
    outputs = score(text=tf.constant(["the c", ""]))
    for row in range(2):
        ids = assets.vocabulary.encode(outputs["top_tokens"][row]).to_tensor()[:, 0]
        np.testing.assert_allclose(
            tf.gather(outputs["next_token_log_probabilities"][row], ids), outputs["top_log_probabilities"][row]
        )
        assert (np.diff(outputs["top_log_probabilities"][row]) <= 0).all()


@pytest.mark.parametrize("architecture", ["transformer", "lstm"])
def test_generate_depends_on_nothing_but_its_own_row(prepared, architecture):
    lstm = ("model={architecture: lstm, context: 16, num_layers: 1, size: 16, dropout: 0.0}",)
    config, assets, model = prepared(*(lstm if architecture == "lstm" else ()))
    write = tf.function(task.signatures(config, assets, {task.STAGE: model})[1].function)
    rows = {
        "prompt": ["", "the cat sat on the mat and on", "a", "the "],
        "length": [20, 7, 0, 32],
        "temperature": [1.0, 0.0, 0.7, 2.0],
        "top_k": [0, 0, 3, 5],
        "top_p": [1.0, 1.0, 0.5, 0.9],
        "seed": [1, 2, 3, 2**40],
    }
    dtypes = {"prompt": tf.string, "temperature": tf.float32, "top_p": tf.float32, "seed": tf.int64}

    def call(keep):
        return write(
            **{key: tf.constant([row[i] for i in keep], dtypes.get(key, tf.int32)) for key, row in rows.items()}
        )["text"].numpy()

    together = call(range(4))
    assert [call([i])[0] for i in range(4)] == list(together)
    assert together[2] == b""
    assert len(together[0]) <= 20
    assert list(call([3, 1, 2, 0])) == [together[i] for i in (3, 1, 2, 0)]


@pytest.mark.parametrize(
    ("name", "value"), [("length", 33), ("length", -1), ("temperature", -0.5), ("top_k", -1), ("top_p", 0.0)]
)
def test_generate_names_the_number_out_of_range(prepared, name, value):
    config, assets, model = prepared()
    signature = task.signatures(config, assets, {task.STAGE: model})[1]
    row = {key: values[:1] for key, values in signature.example.items()} | {name: [value]}
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"`{name}` must be between"):
        signature.function(**{key: tf.constant(v, signature.inputs[key].dtype) for key, v in row.items()})


def test_samples_begin_with_the_prompts(prepared):
    config, assets, model = prepared()
    samples = task.write_samples(config, assets, model)
    assert [sample.startswith(prompt) for sample, prompt in zip(samples, ["", "the "], strict=True)] == [True, True]
    assert samples == task.write_samples(config, assets, model)


def test_losses_count_no_padding(prepared, tmp_path):
    config, assets, _ = prepared("training.steps=1", "training.steps_per_epoch=1", "evaluation.batch_size=1")
    short, long = assets.splits["train"].tokens[0][:3], assets.splits["train"].tokens[0][:90]
    split = task.Split(ids=["short", "long"], characters=[3, 90], tokens=[short, long])
    config = config.model_copy(
        update={"data": config.data.model_copy(update={"batching": "bucketed", "buckets": (16,)})}
    )
    assets = task.Assets(assets.vocabulary, {**assets.splits, "train": split, "validation": split})
    (stage,) = task.stages(config, assets)
    batch = next(iter(stage.train(0)))
    rows = [y[weight > 0] for y, weight in zip(batch["y"].numpy(), batch["sample_weight"].numpy(), strict=True)]
    assert {len(row) for row in rows} > {3}
    trained = fit(stage, config.training, tmp_path / "stage")
    records = history.read(tmp_path / "stage" / "history.jsonl")
    (epoch,) = [record for record in records if record["event"] == "epoch"]
    expected = mean_nll(trained, windows_of(config, [short, long]), [3, 90])
    assert epoch["validation_loss"] == pytest.approx(expected, rel=1e-5)
    keras.utils.set_random_seed(config.training.seed)
    untrained = stage.build()
    assert epoch["loss"] == pytest.approx(mean_nll(untrained, windows_of(config, rows), map(len, rows)), rel=1e-5)


def windows_of(config, documents):
    return windows.strided(documents, config.model.context, config.model.context, 4)


def mean_nll(model, dataset, lengths):
    return np.concatenate(likelihood.token_nll(model, dataset, list(lengths))).mean()


@pytest.mark.parametrize(("kind", "size"), [("bpe", 290), ("unigram", 276)])
def test_subwords_are_trained_and_served(tiny, tmp_path, kind, size):
    vocabulary = f"data.vocabulary={{kind: {kind}, size: {size}}}"
    runner.run(tiny(vocabulary, "training.steps=2", "training.steps_per_epoch=2"), tmp_path / "run")
    with StockModel(tmp_path / "run" / "export" / "1") as model:
        scored = model.run("serving_default", {"text": ["the cat", "", "é"]})
        row = {"length": [9], "temperature": [0.0], "top_k": [0], "top_p": [1.0], "seed": [0]}
        written = model.run("generate", {"prompt": ["the cat"], **row})
    assert np.isfinite(scored["log_likelihood"]).all()
    written["text"][0].decode()
