import html
import re

import numpy as np
import pytest

from ikelos.pipelines import report
from ikelos.pipelines.report.sections import Headline, Picture, Samples, Surprisal, Table
from ikelos.pipelines.tasks.language_modeling import page, task

HISTORY = [
    {
        "event": "step",
        "step": 10,
        "loss": 2.0,
        "learning_rate": 1e-3,
        "gradient_norm": 0.5,
        "gradient_norm_max": 0.75,
        "clipped": 0.0,
        "units_per_second": 100.0,
        "seconds": 60.0,
    },
    {
        "event": "epoch",
        "step": 12,
        "epoch": 1,
        "loss": 2.0,
        "validation_loss": 2.25,
        "seconds": 90.0,
        "units": 1800,
        "samples": [],
    },
]


def figures(documents, nats):
    one = {"nats_per_character": nats, "bits_per_character": nats / np.log(2), "characters": 4, "tokens": 2}
    whole = {**one, "characters": 4 * documents, "tokens": 2 * documents}
    return {**whole, "documents": {f"document {index}": one for index in range(documents)}}


def results(documents):
    return {
        "model": {**figures(documents, 1.5), "parameters": 1234, "context": 16, "stride": 8},
        "baselines": {"Interpolated Kneser-Ney 3-gram": {**figures(documents, 2.5), "order": 3, "minutes": 0.5}},
        "machine": {
            "cpu": "a processor",
            "cores": 2,
            "sgemm_gflops": 100.0,
            "tensorflow": "2",
            "python": "3",
        },
        "peak_memory_bytes": 10**9,
    }


@pytest.fixture
def build(tiny):
    """Title, facts and the sections by their class."""

    def build(*overrides, documents=3, passage=(b"a", b"b"), samples=("new", "the rest")):
        title, facts, sections = page.build(
            tiny(*overrides).config,
            results(documents),
            HISTORY,
            passage=passage,
            passage_nats=np.ones(len(passage)),
            passage_of="document 0",
            samples=samples,
        )
        return title, facts, sections

    return build


def of(kind, sections):
    return [section for section in sections if type(section) is kind]


def test_shows_our_figures_beside_the_baselines_and_peers(build):
    title, facts, sections = build()
    assert title == "Language model: files"
    assert facts["training"] == {"steps": 12, "tokens": 1800, "minutes": 1.5, "tokens_per_second": 20.0}
    (headline,) = of(Headline, sections)
    assert [(tile.value, tile.label) for tile in headline.tiles] == [
        ("1.500", "nats per character"),
        ("2.164", "bits per character"),
        ("1.5 min", "of training"),
        ("0.00 M", "tokens seen"),
        ("0.00 M", "parameters"),
    ]
    comparison, training = of(Picture, sections)
    assert comparison.alt == (
        "Nats per character: Ikelos transformer, 2 layers, 16 wide 1.500; Interpolated Kneser-Ney 3-gram 2.500; "
        "nobody 3.000"
    )
    assert comparison.figure.axes[0].get_xlabel() == "nats per character (less is better)"
    # As it was trained: tokens of the validation text are not those of the test text.
    assert training.figure.axes[0].get_title(loc="left") == "Loss in nats per token"
    assert training.figure.axes[0].get_lines()[1].get_ydata().tolist() == [2.25]


def test_samples_tell_the_prompt_from_what_was_written(build):
    _, _, sections = build()
    (samples,) = of(Samples, sections)
    assert [(sample.prompt, sample.text) for sample in samples.samples] == [("", "new"), ("the ", "rest")]


def test_without_prompts_there_are_no_samples(build):
    _, _, sections = build("evaluation.samples.prompts=[]", samples=[])
    assert not of(Samples, sections)


@pytest.mark.parametrize(("documents", "rows", "prose"), [(20, 20, []), (1000, 20, ["980 more"])])
def test_the_first_twenty_documents_are_shown(build, tmp_path, documents, rows, prose):
    title, facts, sections = build(documents=documents)
    table, machine = of(Table, sections)
    assert [row[0] for row in table.rows] == [f"document {index}" for index in range(rows)]
    assert table.rows[0][1:] == [4, 1.5, 1.5 / np.log(2), 2.5]
    assert [re.search("980 more", text)[0] for text in table.prose] == prose
    assert ["Processor", "a processor, 2 cores"] in machine.rows
    paths = report.write(tmp_path / "report", title, facts, sections)
    last = f"document {documents - 1}"
    assert last in paths["Report's numbers"].read_text()
    assert (last in paths["Report"].read_text()) == (documents == 20)


def test_an_lstm(build):
    lstm = "model={architecture: lstm, context: 16, num_layers: 1, size: 8, dropout: 0.0}"
    _, facts, sections = build(lstm)
    assert of(Picture, sections)[0].alt.startswith("Nats per character: Ikelos lstm, 1 layers, 8 wide 1.500; ")
    assert facts["recipe"]["model"]["architecture"] == "lstm"


def test_a_passage_of_subwords_is_shown_whole(tiny, tmp_path):
    config = tiny("data.vocabulary={kind: bpe, size: 290}").config
    (tmp_path / "assets").mkdir()
    task.fit_assets(config, tmp_path / "assets")
    assets = task.load_assets(config, tmp_path / "assets")
    model = task.build_model(config, assets)
    title, facts, sections = task.report(config, assets, {task.STAGE: model}, results(1), {task.STAGE: HISTORY})
    (surprisal,) = of(Surprisal, sections)
    # The é falls apart into two bytes, neither of which is a character.
    assert "".join(surprisal.pieces) == "the cat sat on the log. \ufffd\ufffd"
    assert max(map(len, surprisal.pieces)) > 1
    assert len(surprisal.nats) == len(assets.splits["test"].tokens[0])
    text = report.write(tmp_path / "report", title, facts, sections)["Report"].read_text()
    shaded = re.findall(r"<pre>(.*?)</pre>", text, re.DOTALL)[-1]
    assert html.unescape(re.sub("<.*?>", "", shaded)) == "the cat sat on the log. \ufffd\ufffd"
