import pytest

from ikelos.pipelines.training.history import History, read


def test_what_comes_after_the_checkpoint_is_dropped(tmp_path):
    path = tmp_path / "history.jsonl"
    records = [
        {"event": "step", "step": 5, "loss": 1.5},
        {"event": "step", "step": 10, "loss": 1.25},
        {"event": "epoch", "step": 10, "epoch": 1},
        {"event": "step", "step": 15, "loss": 1.0},
    ]
    history = History(path, 0, 0)
    for record in records:
        history.append(record)
    history.close()
    assert read(path) == records
    # The epoch may end at step 10 or later.
    for step, epochs, kept in [(15, 1, 4), (12, 1, 3), (10, 0, 2), (4, 0, 0)]:
        history = History(path, step, epochs)
        history.close()
        assert history.records == records[:kept] == read(path)


@pytest.mark.parametrize(
    "rest",
    [
        b'{"event": "st',
        b'{"event": "step", "step": 6}',
        b"\0" * 100,
        b'\xff\xfe\n{"event": "step", "step": 6}\n',
        b"3\n",
    ],
)
def test_damaged_last_lines_are_dropped(tmp_path, rest):
    path = tmp_path / "history.jsonl"
    path.write_bytes(b'{"event": "step", "step": 5}\n' + rest)
    history = History(path, 9, 9)
    history.append({"event": "step", "step": 6})
    history.close()
    assert [record["step"] for record in read(path)] == [5, 6]
