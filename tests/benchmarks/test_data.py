import pytest


@pytest.mark.slow
@pytest.mark.usefixtures("_eager")
@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("texts", "texts: 0.01 GB of 40 examples"),
        ("images", "images: 0.00 GB of 360 examples"),
    ],
)
def test_mapped_data_and_a_copy_in_memory(load, monkeypatch, capsys, tmp_path, kind, told):
    data = load("data")

    def here(what, kind, folder, steps, smoke, limit=None):
        return data.MEASURED[what](kind, folder, steps, smoke)

    monkeypatch.setattr(data, "child", here)
    monkeypatch.setattr(data, "BLOCK", 1)
    monkeypatch.setattr(data, "HELD_OUT", 1e5)
    monkeypatch.setenv("IKELOS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.argv", ["data.py", "--smoke", "--folder", str(tmp_path), "--kind", kind])
    data.main()
    printed = capsys.readouterr().out
    assert told in printed
    assert printed.count("of anonymous memory more than") == 1
    assert printed.count("ms on mapped data, ") == 1


def test_a_copied_store_has_the_same_columns(load):
    import numpy as np

    from ikelos.pipelines.data.store import Ragged

    class Stored:
        examples = 3

        def __len__(self):
            return 3

        def array(self, name):
            return np.arange(3)

        def ragged(self, name):
            return Ragged(np.arange(4), np.array([0, 1, 4]))

    copied = load("data").Copied(Stored())
    assert (len(copied), copied.examples, copied.array("x").tolist()) == (3, 3, [0, 1, 2])
    assert [part.tolist() for part in copied.ragged("x")] == [[0], [1, 2, 3]]
