import types

from PIL import Image

from ikelos.pipelines.report import curves
from ikelos.pipelines.report.sections import Picture, Section


def test_each_chart_becomes_a_small_file(load, tmp_path, monkeypatch, capsys):
    pictures = load("pictures")
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage" / "history.jsonl").write_text('{"event": "step", "step": 7, "loss": 0.5}\n')

    def showcase(finished):
        points = [(record["step"], record["loss"]) for record in finished.histories["stage"]]
        figure = curves.draw([curves.Curves("Loss", {finished.results["name"]: points})], "step")
        return [Section(heading="Words"), Picture(heading="Loss by step", figure=figure, alt="loss")]

    run = types.SimpleNamespace(
        task=types.SimpleNamespace(stages=lambda _: [types.SimpleNamespace(name="stage")], showcase=showcase),
        preprocessing=None,
        figures={"name": "a"},
        folder=types.SimpleNamespace(stage=lambda name: tmp_path / name),
    )
    monkeypatch.setattr(pictures.pipelines, "load", lambda path: run)
    monkeypatch.setattr("sys.argv", ["pictures.py", str(tmp_path), str(tmp_path / "out"), "--prefix", "toy"])
    pictures.main()
    (path,) = (tmp_path / "out").iterdir()
    assert path.name == "toy_loss_by_step.png"
    assert Image.open(path).width == 726
    assert f"{path}  " in capsys.readouterr().out
