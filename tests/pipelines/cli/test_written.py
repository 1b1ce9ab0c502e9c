import csv
import shlex
from pathlib import Path

import pytest

from ikelos.pipelines.cli.written import print_written, serving_command, trying_command


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("/runs/language_modeling", "language_modeling"),
        ("/runs/a b's [red]", "a_b_s_red_"),
        ('/runs/a,b:c"d', "a_b_c_d"),
        ("/é", "_"),
        ("/", "model"),
    ],
)
def test_the_command_mounts_the_folder_of_the_versions(folder, name):
    words = shlex.split(serving_command(Path(folder, "export")))
    assert words[:5] == ["docker", "run", "--rm", "-p", "8501:8501"]
    assert words[-3:] == ["-e", f"MODEL_NAME={name}", "tensorflow/serving"]
    # Docker parses the value of --mount as a line of CSV.
    [fields] = csv.reader([words[words.index("--mount") + 1]], strict=True)
    assert fields == ["type=bind", f"source={Path(folder, 'export')}", f"target=/models/{name}", "readonly"]


def test_a_relative_folder_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert f"source={tmp_path}/runs/a/export," in serving_command(Path("runs/a/export"))


def test_what_was_written_is_shown_and_the_command_is_one_line(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    saved = Path("/runs") / ("long" * 20) / "export" / "3"
    print_written({"SavedModel": saved, "Result": "fine [red] \x1b[31m"})
    lines = capsys.readouterr().out.splitlines()
    assert serving_command(saved.parent) in lines
    assert trying_command(saved.parent) == f"ikelos serve /runs/{'long' * 20}"
    assert trying_command(saved.parent) in lines
    assert lines[-1] == r"Result  fine [red] \x1b[31m"
    print_written({"Report": "report.html"})
    assert "docker" not in capsys.readouterr().out
