import errno
import io
import os
import pathlib
import resource
import signal
import sys
import types

import pytest

from ikelos.pipelines import cli
from ikelos.pipelines.cli import compare, folders, run
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.lock import locked
from ikelos.pipelines.training.errors import Terminated


def test_a_run_gets_its_recipe_and_folder_and_says_where_it_wrote(ikelos_command, toy, runner):
    runner.outcome = {"Report": "runs/toy/report.html", "SavedModel": "runs/toy/export/1"}
    result = ikelos_command("run", "toy", "--set", "training.steps=3", "--set", "training.seed=7")
    assert (result.status, result.err) == (0, "")
    [(name, loaded, workdir)] = runner.calls
    assert (name, str(workdir)) == ("run", "runs/toy")
    assert (loaded.config.training.steps, loaded.config.training.seed) == (3, 7)
    assert result.out.startswith("toy in runs/toy\n")  # what the description says is not of these steps
    written = result.out.partition("Written\n")[2]
    assert [line.split() for line in written.splitlines()] == [
        ["Report", "runs/toy/report.html"],
        ["SavedModel", "runs/toy/export/1"],
    ]


def test_a_path_and_a_folder_may_be_given(ikelos_command, toy, runner, tmp_path):
    result = ikelos_command("run", toy / "toy_fast.yaml", "--workdir", tmp_path / "a" / "b")
    assert result.status == 0
    assert runner.calls[0][1].name == "toy_fast"
    assert "b: Greets; one second; 0.5 nats per greeting." in result.out
    assert runner.calls[0][2] == tmp_path / "a" / "b"


def test_a_folder_whose_name_is_no_text_is_told_in_escapes(toy, runner, tmp_path, monkeypatch):
    name = os.fsdecode(b"\xff [bold]$x$")
    runner.outcome = {"Report": pathlib.Path(name, "report.html")}
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main(["run", "toy", "--workdir", name]) == 0
    printed = out.buffer.getvalue().decode()
    assert printed.startswith("toy in \\udcff [bold]$x$: Greets")
    assert "\\udcff [bold]$x$/report.html" in printed


@pytest.mark.parametrize("command", ["evaluate", "export"])
def test_evaluate_and_export_take_the_folder_of_a_run(ikelos_command, runner, tmp_path, command):
    (tmp_path / "recipe.yaml").write_text("task: greeting\n")
    result = ikelos_command(command, tmp_path)
    assert (result.status, result.err) == (0, "")
    assert runner.calls[0][:2] == (command, tmp_path)
    assert "Report  report.html" in result.out


@pytest.mark.parametrize("command", ["evaluate", "export"])
def test_a_folder_without_a_run_is_refused(ikelos_command, runner, tmp_path, command):
    missing = ikelos_command(command, tmp_path / "missing")
    assert (missing.status, missing.err) == (2, f"Error: no such folder: {tmp_path}/missing\n")
    empty = ikelos_command(command, tmp_path)
    assert empty.status == 2
    assert empty.err == f"Error: no run in {tmp_path}: it has no recipe.yaml. `ikelos run` makes one\n"
    assert runner.calls == []


def test_each_seed_has_a_folder_and_all_are_compared(ikelos_command, toy, runner, monkeypatch):
    shown = []
    monkeypatch.setattr(compare, "show", lambda comparison: shown.append(comparison))
    monkeypatch.setattr(run, "load_comparison", lambda: types.SimpleNamespace(compare=lambda *given: given))
    result = ikelos_command("run", "toy", "--seeds", "0, 1,12", "--set", "training.steps=3", "--workdir", "there")
    assert (result.status, result.err) == (0, "")
    folders_of = [pathlib.Path("there", f"seed-{seed}") for seed in (0, 1, 12)]
    assert [call[2] for call in runner.calls] == folders_of
    assert [call[1].config.training.seed for call in runner.calls] == [0, 1, 12]
    assert {call[1].config.training.steps for call in runner.calls} == {3}
    assert shown == [(folders_of, pathlib.Path("there", "comparison"))]


@pytest.mark.parametrize("seeds", ["", "0,", "1,1", "-1", "a", "0;1"])
def test_seeds_are_whole_numbers_each_once(ikelos_command, toy, runner, seeds):
    result = ikelos_command("run", "toy", "--seeds", seeds)
    assert (result.status, runner.calls) == (2, [])
    assert result.err == (
        f"Error: `--seeds` must be whole numbers, each once, such as 0,1,2. Received: --seeds {seeds}\n"
    )
    assert os.listdir() == []


BAD_RECIPES = {
    "unknown recipe": (["toyy"], "unknown recipe toyy; did you mean toy? recipes: toy, toy_fast"),
    "missing path": (["a/toy.yaml"], "no such recipe file: a/toy.yaml"),
    "unknown key": (
        ["toy", "--set", "training.stepz=3"],
        "--set training.stepz=3: unknown key training.stepz; the nearest valid key is training.steps",
    ),
    "wrong type": (
        ["toy", "--set", "training.steps=many"],
        '--set training.steps=many: training.steps must be an integer. Received: "many"',
    ),
    "out of range": (
        ["toy", "--set", "training.batch_size=0"],
        "--set training.batch_size=0: training.batch_size must be greater than 0. Received: 0",
    ),
    "not an assignment": (
        ["toy", "--set", "training.steps"],
        "--set training.steps: must be KEY=VALUE, such as training.steps=20",
    ),
}


@pytest.mark.parametrize("case", BAD_RECIPES)
def test_a_bad_recipe_is_one_line_and_leaves_nothing_behind(ikelos_command, toy, runner, case):
    arguments, line = BAD_RECIPES[case]
    result = ikelos_command("run", *arguments)
    assert (result.status, result.out, result.err) == (2, "", f"Error: {line}\n")
    assert runner.calls == []
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("task: [\n", "Error: bad.yaml:2: expected the node content, but found '<stream end>' (column 1)\n"),
        ("task: a\ntask: b\n", "Error: bad.yaml:2: duplicate key 'task' (column 1)\n"),
        ("just text\n", 'Error: bad.yaml: a recipe must be sections of keys and values. Received: "just text"\n'),
    ],
)
def test_a_file_that_is_no_recipe_is_one_line(ikelos_command, toy, runner, text, line):
    with open("bad.yaml", "w") as file:
        file.write(text)
    result = ikelos_command("run", "bad.yaml")
    assert (result.status, result.err) == (2, line)


def test_every_mistake_has_its_own_line(ikelos_command, toy, runner):
    result = ikelos_command("run", "toy", "--set", "training.steps=x", "--set", "model.units=0")
    assert result.status == 2
    assert [line.partition(":")[0] for line in result.err.splitlines()] == ["Error", "Error"]


def test_a_file_in_the_way_of_the_folder_is_named(ikelos_command, toy, runner, tmp_path):
    (tmp_path / "file").write_text("")
    at = ikelos_command("run", "toy", "--workdir", tmp_path / "file")
    assert (at.status, at.err) == (2, f"Error: cannot write to {tmp_path}/file: it is not a folder\n")
    below = ikelos_command("run", "toy", "--workdir", tmp_path / "file" / "x")
    assert below.status == 2
    assert below.err == (
        f"Error: cannot write to the folder {tmp_path}/file/x: a file stands where a folder is needed\n"
    )
    assert runner.calls == []


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EACCES, "permission denied"),
        (errno.EROFS, "the file system is read-only"),
        (errno.ENOSPC, "the disk is full"),
    ],
)
def test_an_unwritable_folder_is_found_before_the_run(ikelos_command, toy, runner, monkeypatch, number, reason):
    def refuse(**kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(folders.tempfile, "TemporaryFile", refuse)
    result = ikelos_command("run", "toy", "--workdir", "there")
    assert (result.status, result.err) == (2, f"Error: cannot write to the folder there: {reason}\n")
    assert runner.calls == []


def test_a_disk_that_takes_no_byte_is_found_before_the_run(ikelos_process):
    result = ikelos_process(
        "run",
        "language_modeling",
        "--workdir",
        "there",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )
    assert result.status == 2
    assert result.err == "Error: cannot write to the folder there: the file would be larger than allowed\n"


def test_the_probe_leaves_only_the_lock_behind(tmp_path):
    folders.prepare(tmp_path / "a")
    assert os.listdir(tmp_path / "a") == ["lock"]


def test_a_folder_at_work_is_refused_before_the_run(ikelos_process, tmp_path):
    with locked(tmp_path / "there"):
        result = ikelos_process(
            "run", "language_modeling", "--workdir", "there", after="assert 'tensorflow' not in sys.modules"
        )
    assert result.status == 2
    assert result.err == (
        f"Error: The folder there is in use by process {os.getpid()}: wait for it to end, or choose another folder.\n"
    )


@pytest.mark.parametrize(
    ("error", "line", "status"),
    [
        (UserError("unknown data set 'x'"), "unknown data set 'x'", 2),
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full (in there)", 1),
        (PermissionError(errno.EACCES, "Permission denied", "there/lock"), "permission denied: there/lock", 1),
        (KeyboardInterrupt(), "interrupted", 130),
        (
            Terminated(signal.SIGTERM, 3, 9),
            "Stopped by SIGTERM at step 3 of 9; the same command continues from there.",
            143,
        ),
        (RuntimeError("odd"), "RuntimeError: odd; run again with --debug for the traceback", 1),
    ],
)
def test_a_run_that_fails_says_why_and_shows_a_traceback_only_when_asked(
    ikelos_command, toy, runner, error, line, status
):
    runner.outcome = error
    result = ikelos_command("run", "toy", "--workdir", "there")
    assert (result.status, result.err) == (status, f"Error: {line}\n")
    for arguments in (["--debug", "run", "toy"], ["run", "toy", "--debug"]):
        result = ikelos_command(*arguments)
        assert result.status == status
        assert "Traceback (most recent call last)" in result.err
