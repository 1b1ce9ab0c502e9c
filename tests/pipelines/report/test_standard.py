import types

import numpy as np
import pytest

from ikelos.pipelines import task
from ikelos.pipelines.metric import Metric
from ikelos.pipelines.recipe.sections import Evaluation as SharedEvaluation
from ikelos.pipelines.recipe.sections import Export, Optimizer, Peer, TaskConfig
from ikelos.pipelines.report import page, standard
from ikelos.pipelines.report.sections import Headline, Picture, Section, Table
from ikelos.pipelines.training.stage import Stage

STEP = {
    "event": "step",
    "step": 10,
    "loss": 2.0,
    "learning_rate": 1e-3,
    "gradient_norm": 0.5,
    "gradient_norm_max": 0.75,
    "clipped": 0.0,
    "units_per_second": 100.0,
    "seconds": 60.0,
}
EPOCH = {
    "event": "epoch",
    "step": 12,
    "epoch": 1,
    "loss": 2.0,
    "validation_loss": 2.25,
    "seconds": 90.0,
    "units": 1800,
    "passes": 1.5,
    "samples": [],
}


class Toy(task.Task):
    metrics = (Metric("nats", "nats per word"), Metric("share", "share right", ".0%", better="more"))
    counted = "words"
    breakdown = task.Breakdown("books", "book")
    preparation = evaluate = stages = signatures = None

    def about_comparison(self, results):
        return ["As measured."]

    def showcase(self, finished):
        return [Section(heading="Look")]

    def details(self, finished):
        return [Section(heading="More")]


Toy.__abstractmethods__ = frozenset()


def figures(books, nats):
    one = {"nats": nats, "share": 0.5, "words": 4}
    return {**one, "words": 4 * books, "books": {f"book {index}": one for index in range(books)}}


WHOLE = {
    "examples": 1234,
    "bytes": 5_260_000,
    "skipped": {},
    "faults": [],
    "empty": 0,
    "sha256": "0123456789abcdef" * 4,
}
FAULTY = WHOLE | {"examples": 9, "skipped": {"broken": 1001, "odd": 1}, "faults": ["a is broken", "<b> is odd"]}


@pytest.fixture
def build():
    """Returns a function that builds facts and sections of a run with some books, stages and baselines."""

    def build(books=3, stages=("only",), baselines=True, data=None, history=(STEP, EPOCH)):
        config = TaskConfig(
            evaluation=SharedEvaluation(peers=(Peer(name="nobody", value=3.0, minutes=None),)),
            export=Export(enabled=True, weights="float32", max_rows=1, warmup_batch_sizes=(1,)),
        )
        optimizer = Optimizer(
            kind="adamw",
            learning_rate=1.0,
            warmup_steps=0,
            final_learning_rate_ratio=0.0,
            weight_decay=0.0,
            beta_1=0.0,
            beta_2=0.0,
            clip_norm=1.0,
        )
        training = types.SimpleNamespace(optimizers=[("model", optimizer)])
        parts = [Stage(name, training, None, None, "tokens", Metric("loss", "nats per token")) for name in stages]
        results = {
            "model": figures(books, 1.5),
            "baselines": {"n-grams": {**figures(books, 2.5), "minutes": 0.5}} if baselines else {},
            "data": data or {"train": WHOLE, "test": WHOLE},
            "parameters": 1_000_000 * len(stages),
            "machine": {"cpu": "a processor", "cores": 2, "sgemm_gflops": 99.6, "tensorflow": "2", "python": "3"},
            "peak_memory_bytes": 1.26e9,
        }
        histories = {name: list(history) for name in stages}
        finished = task.Finished(None, None, {}, results, histories, {})
        return standard.build(Toy(config), parts, finished)

    return build


def of(kind, sections):
    return [section for section in sections if type(section) is kind]


def test_sections_stand_in_order_with_the_tasks_own_among_them(build):
    facts, sections = build()
    headings = ["", "Look", "Against baselines and peers", "By book", "Training", "More"]
    assert [section.heading for section in sections] == [*headings, "The data", "The machine"]
    assert facts["training"] == {
        "only": {
            "steps": 12,
            "tokens": 1800,
            "passes": 1.5,
            "minutes": 1.5,
            "tokens_per_second": 20.0,
            "native_ops": None,
        }
    }
    assert facts["peers"] == [{"name": "nobody", "value": 3.0, "minutes": None}]


@pytest.mark.parametrize(
    ("shares", "sentence"),
    [
        (
            {"IkelosLstm": 0.25, "IkelosRmsNorm": 0.05},
            "native ops took 30.0% of the time of all ops: IkelosLstm 25.0%, ",
        ),
        ({}, "no native op ran."),
    ],
)
def test_the_share_of_native_ops_is_that_of_a_profile(build, shares, sentence):
    facts, sections = build(
        history=[{"event": "profile", "step": 10, "seconds": 1.0, "native_ops": shares}, STEP, EPOCH]
    )
    assert facts["training"]["only"]["native_ops"] == shares
    assert sentence in of(Picture, sections)[1].prose[1]


def test_the_headline_shows_metrics_and_their_price(build):
    (headline,) = of(Headline, build()[1])
    assert [(tile.value, tile.label, tile.note) for tile in headline.tiles] == [
        ("1.500", "nats per word", "best baseline: 2.500"),
        ("50%", "share right", ""),
        ("1.5 min", "of training", "on a machine with 100 GFLOP/s"),
        ("1,800", "tokens seen", "12 steps"),
        ("1.00 M", "parameters", ""),
    ]


def test_our_figure_stands_beside_baselines_and_peers(build):
    comparison, training = of(Picture, build()[1])
    assert comparison.prose == ["As measured."]
    assert comparison.alt == "Nats per word: Ikelos, this recipe 1.500; n-grams 2.500; nobody 3.000"
    assert comparison.figure.axes[0].get_xlabel() == "nats per word (less is better)"
    # The unit is that of training, as validation and test text have other tokens.
    assert training.figure.axes[0].get_title(loc="left") == "Loss in nats per token"
    assert training.figure.axes[0].get_lines()[1].get_ydata().tolist() == [2.25]
    assert training.prose == ["1,800 tokens seen, 1.5 passes over the training data, 20 tokens a second."]


def test_how_a_training_began_and_was_continued_is_told():
    stage = Stage("only", types.SimpleNamespace(optimizers=[]), None, None, "tokens", Metric("loss", "nats"))
    longer = {"event": "longer", "step": 12, "epoch": 1, "seconds": 90.0, "planned": 12, "steps": 1200}
    last = EPOCH | {"step": 1200, "epoch": 2}
    start = {"run": "runs/a", "checkpoints": {"only": {"file": "step.npz", "sha256": "0123456789abcdef" * 4}}}
    # A kill just after the record was written leaves it twice.
    section = standard.training_section(stage, [STEP, EPOCH, longer, longer, last], named=False, start=start)
    assert section.prose[1:] == [
        "Training began with the weights of the run runs/a, whose checkpoint's SHA-256 begins with 0123456789abcdef.",
        "At step 12 the total was raised from 12 to 1,200 steps. From there on the learning rate is that of a schedule "
        "of 1,200 steps.",
    ]


@pytest.mark.parametrize(("number", "text"), [(0, "0"), (3824, "3,824"), (999_999, "999,999"), (1_250_000, "1.25 M")])
def test_few_are_told_as_they_are(number, text):
    assert standard._count(number) == text


def test_without_baselines_there_are_none(build):
    _, sections = build(baselines=False)
    assert of(Headline, sections)[0].tiles[0].note == ""
    assert [column.title for column in of(Table, sections)[0].columns] == [
        "Book",
        "Words",
        "Nats per word",
        "Share right",
    ]


def test_several_stages_are_told_apart(build):
    facts, sections = build(stages=("first", "second_one"))
    assert [section.heading for section in of(Picture, sections)[1:]] == ["Training: first", "Training: second one"]
    assert [tile.value for tile in of(Headline, sections)[0].tiles[2:]] == ["3.0 min", "1,800", "1,800", "2.00 M"]
    assert set(facts["training"]) == {"first", "second_one"}


@pytest.mark.parametrize(
    ("books", "rows", "prose"), [(20, 20, []), (1020, 20, ["The first 20; report.json has 1,000 more."])]
)
def test_the_first_twenty_parts_are_shown(build, tmp_path, books, rows, prose):
    facts, sections = build(books=books)
    table, _, machine = of(Table, sections)
    assert [row[0] for row in table.rows] == [f"book {index}" for index in range(rows)]
    assert table.rows[0][1:] == [4, 1.5, 0.5, 2.5]
    assert table.prose == prose
    assert [value for _, value in machine.rows] == ["a processor, 2 cores", "100 GFLOP/s", "1.3 GB", "2", "3"]
    paths = page.write(tmp_path / "report", "A run", facts, sections)
    last = f"book {books - 1}"
    assert last in paths["Report's numbers"].read_text()
    assert (last in paths["Report"].read_text()) == (books == 20)


def test_without_parts_there_is_no_table(build):
    assert [table.heading for table in of(Table, build(books=0)[1])] == ["The data", "The machine"]


def test_the_data_is_told_by_its_numbers(build):
    facts, sections = build()
    table = of(Table, sections)[1]
    assert table.prose == ["The data as prepared; its checksum identifies it."]
    assert table.rows[0] == ["train", 1234, "5.3 MB", "none", "0123456789abcdef"]
    assert [row[0] for row in table.rows] == ["train", "test"]
    assert facts["data"]["train"]["sha256"] == WHOLE["sha256"]


def test_empty_examples_are_counted(build):
    table = of(Table, build(data={"train": WHOLE | {"empty": 2}})[1])[1]
    assert table.rows[0][3] == "2 empty"


def test_what_was_left_out_of_the_data_is_named(build, tmp_path):
    facts, sections = build(data={"train": FAULTY, "test": WHOLE})
    table = of(Table, sections)[1]
    assert table.prose[0].endswith(" 1,002 faulty examples were left out, the first of them: a is broken; <b> is odd.")
    assert [row[3] for row in table.rows] == ["1,001 broken, 1 odd", "none"]
    text = page.write(tmp_path, "A run", facts, sections)["Report"].read_text()
    assert "&lt;b&gt; is odd" in text
    assert "1,001 broken, 1 odd" in text


def test_a_headline_in_a_line():
    toy = Toy(None)
    results = {"model": figures(3, 1.5), "baselines": {"n-grams": {"nats": np.float64(2.5)}}}
    assert toy.headline(results) == (
        "1.500 nats per word, 50% share right on 12 held-out words; n-grams: 2.500 nats per word"
    )
