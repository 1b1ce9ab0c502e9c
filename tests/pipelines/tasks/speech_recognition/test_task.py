import json

import numpy as np
import pytest

from ikelos.pipelines import runner
from ikelos.pipelines import task as tasks
from ikelos.pipelines.audio.pcm import wav_file
from ikelos.pipelines.audio.speech_encoding import AUDIO, GROUP, TEXT
from ikelos.pipelines.data import preparation
from ikelos.pipelines.data.order import WHOLE
from ikelos.pipelines.data.store import Store
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.tasks.speech_recognition import task as module
from ikelos.serving import StockModel

SILENCE = wav_file(np.zeros(800, np.int16), 8000)


@pytest.fixture
def opened(shrunk):
    """Returns the tiny recipe's task and its prepared data."""

    def open_task(*overrides):
        task = tasks.of_recipe(shrunk("speech_recognition", *overrides))
        return task, preparation.prepare(task.preparation())

    return open_task


@pytest.fixture
def grouped(monkeypatch):
    """Gives the recordings of every store groups: `own` to every second one, `others` to the rest."""
    texts = Store.texts

    def read(store, column, most=None):
        if column == GROUP:
            return ["own" if index % 2 else "others" for index in range(len(store))]
        return texts(store, column, most)

    monkeypatch.setattr(Store, "texts", read)


def test_recordings_that_are_too_long_or_too_fast_are_left_out(opened, capsys):
    task, data = opened("data.buckets=[0.025, 0.05]", "model.sequence_stride=32")
    feed = task.stages(data.learned)[1].feed(data.splits, {})
    lengths = data.splits["train"].ragged(AUDIO).lengths
    left_out = len(lengths) - feed.units
    assert left_out >= (lengths > 400).sum() > 0
    assert f"{left_out} train recordings are left out: longer than 0.05 s, or too fast" in capsys.readouterr().out
    batch = next(iter(feed.train(0, WHOLE)))
    assert batch["x"]["audio"].shape[1] in (200, 400)


def test_an_emphasised_group_is_drawn_more_often(opened, grouped):
    task, data = opened("data.emphasis=[{group: own, times: 3, joined: 0}]", "training.batch_size=1")
    feed = task.stages(data.learned)[1].feed(data.splits, {})
    assert feed.units == 16 // 2 * 4
    drawn = [int(batch["id"][0]) for batch in feed.train(0, WHOLE).take(32)]
    assert np.bincount(drawn).tolist() == [1, 3] * 8


def test_recordings_of_an_emphasised_group_are_also_joined(opened, grouped):
    task, data = opened("data.emphasis=[{group: own, times: 1, joined: 2}]", "data.buckets=[1.0]")
    feed = task.stages(data.learned)[1].feed(data.splits, {})
    train = data.splits["train"]
    assert (len(train), feed.units) == (16, 16 + 2 * 8)
    lengths = train.ragged(AUDIO).lengths
    longer = {
        int(index)
        for batch in feed.train(0, WHOLE).take(10)
        for index, length in zip(batch["id"].numpy(), batch["x"]["length"].numpy(), strict=True)
        if length > lengths[index]
    }
    assert longer
    assert all(index % 2 for index in longer)


def test_groups_are_checked_before_the_first_stage(opened, grouped):
    for key, value in (("data.emphasis", "[{group: none, times: 1, joined: 0}]"), ("evaluation.apart", "[none]")):
        task, data = opened(f"{key}={value}")
        with pytest.raises(UserError, match=rf"`{key}` must name groups .*\(others, own\)\. Received: none"):
            task.stages(data.learned)[0].feed(data.splits, {})


def test_figures_are_those_of_all_recordings_but_the_groups_apart(opened, grouped):
    task, data = opened("evaluation.apart=[own]")
    said = data.splits["test"].texts(TEXT)
    found = task._figures(data.splits["test"], ["wrong" if index % 2 else text for index, text in enumerate(said)])
    assert (found["wer"], found["recordings"]) == (0, 3)
    assert {name: part["wer"] for name, part in found["groups"].items()} == {"others": 0, "own": 100}
    with pytest.raises(UserError, match=r"`evaluation\.apart` must leave a group of the test recordings"):
        opened("evaluation.apart=[own, others]")[0]._figures(data.splits["test"], said)


@pytest.mark.usefixtures("_eager")
def test_a_run_is_trained_reported_and_served(shrunk, tmp_path):
    runner.run(shrunk("speech_recognition"), tmp_path / "run")
    for stage in (module.LANGUAGE_MODEL, module.RECOGNIZER):
        history = (tmp_path / "run" / "stages" / stage / "history.jsonl").read_text().splitlines()
        losses = [record["validation_loss"] for record in map(json.loads, history) if record["event"] == "epoch"]
        assert losses[-1] < losses[0]
    results = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert list(results["baselines"]) == [
        "The most frequent transcript",
        "The nearest training recording, first 5 recordings",
    ]
    report = json.loads((tmp_path / "run" / "report" / "report.json").read_text())
    by_heading = {section["heading"]: section for section in report["sections"]}
    assert [row[1] for row in by_heading["Transcripts"]["rows"]] == results["model"]["shown"]
    assert [one["text"] for one in by_heading["Recordings"]["recordings"]] == results["model"]["shown"]
    assert "What was heard when" in by_heading
    assert (tmp_path / "run" / "report" / "report.html").read_text().count("data:audio/wav;base64,UklGR") == 3

    first = (tmp_path / "data" / "test0.wav").read_bytes()
    sound = np.frombuffer(first[44:], "<i2")
    stereo = wav_file(np.repeat(sound, 2), 8000).replace(
        b"\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0", b"\x01\0\x02\0\x40\x1f\0\0\0\x7d\0\0\x04\0"
    )
    with StockModel(tmp_path / "run" / "export" / "1") as served:

        def run(*contents):
            return served.run("serving_default", {"audio_bytes": list(contents)})

        empty = wav_file(sound[:0], 8000)
        found = run(first, stereo, empty, SILENCE)
        # The test texts were found in batches of other lengths: they are the same nevertheless.
        assert found["text"][0].decode() == results["model"]["shown"][0]
        assert found["text"][1] == found["text"][0]
        assert found["text"][2] == b""
        assert np.isfinite(found["score"]).all()
        assert run(wav_file(np.repeat(sound, 2), 16000))["text"].shape == (1,)
        for content, error in (
            (first[:-9], "truncated"),
            (b"RIFF", "another kind"),
            (b"", "empty"),
            (wav_file(np.zeros(4001, np.int16), 8000), "seconds long, more than 0.5"),
        ):
            with pytest.raises(RuntimeError, match=error):
                run(first, content)
