import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import types

import pytest

import ikelos
from ikelos.pipelines import cli
from ikelos.pipelines.cli import app, listing

COMMANDS = ("list", "recipe", "data", "run", "evaluate", "export", "describe", "predict", "serve", "runs", "doctor")


def test_version(ikelos_command):
    result = ikelos_command("--version")
    assert (result.status, result.out) == (0, f"ikelos {ikelos.__version__}\n")


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help_names_every_command_and_the_exit_statuses(ikelos_command, arguments):
    result = ikelos_command(*arguments)
    assert result.status == 0
    assert all(f" {command} " in result.out for command in COMMANDS)
    assert "130 interrupted, 143 ended by SIGTERM" in result.out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_and_says_what_is_written(ikelos_command, command):
    result = ikelos_command(command, "--help")
    assert result.status == 0
    assert f"Example: ikelos {command}" in result.out
    assert "rites " in result.out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["rum"], "Error: No such command 'rum'. Did you mean 'run'? See `ikelos --help`."),
        (["run"], "Error: Missing argument 'NAME|PATH'. See `ikelos run --help`."),
        (["list", "--all"], "Error: No such option: --all. See `ikelos list --help`."),
    ],
)
def test_wrong_usage_is_one_line(ikelos_command, arguments, line):
    result = ikelos_command(*arguments)
    assert (result.status, result.out, result.err) == (2, "", line + "\n")


LIGHT = [
    (["--help"], 0),
    (["run", "--help"], 0),
    (["list"], 0),
    (["recipe", "language_modeling"], 0),
    (["recipe", "image_generation_vae", "--keys"], 0),
    (["run", "language_modelling"], 2),
    (["data", "language_modelling"], 2),
    (["run", "language_modeling", "--set", "training.stpes=3"], 2),
    (["run", "language_modeling", "--workdir", "/dev/null/x"], 2),
    (["predict", "missing"], 2),
    (["serve", "missing"], 2),
    (["evaluate", "missing"], 2),
]
"""Commands that answer at once, and their exit statuses."""
# One process for all of them: to start it takes longer than any of them.
RUN_LIGHT = """
import contextlib, io, json, sys
from ikelos.pipelines.cli import main
for arguments in json.loads(sys.argv.pop()):
    sys.argv[1:] = arguments
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as errors:
        status = main()
    heavy = {"tensorflow", "keras", "numpy", "tensorflow_datasets"} & set(sys.modules)
    print(json.dumps([status, errors.getvalue(), sorted(heavy)]))
"""


def test_light_commands_import_no_tensorflow(tmp_path):
    commands = json.dumps([arguments for arguments, _ in LIGHT])
    done = subprocess.run(
        [sys.executable, "-c", RUN_LIGHT, commands], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    answers = list(map(json.loads, done.stdout.splitlines()))
    for (arguments, expected), (status, errors, heavy) in zip(LIGHT, answers, strict=True):
        assert (arguments, status, heavy) == (arguments, expected, [])
        assert "Traceback" not in errors
        assert errors.count("\n") == (expected != 0)


def test_without_the_extra_one_line_says_how_to_install_it(monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "typer" else find(name))
    assert cli.main(["list"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "Error: the command line needs typer: install Ikelos with the extra `pipelines`, "
        "in a clone by: pip install '.[pipelines]'\n"
    )


@pytest.mark.parametrize(
    ("arguments", "before", "after"),
    [(["list"], None, "2"), (["list"], "0", "0"), (["list", "--debug"], None, None)],
)
def test_tensorflow_logs_errors_only_unless_asked_for_more(ikelos_command, monkeypatch, arguments, before, after):
    if before is not None:
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", before)
    assert ikelos_command(*arguments).status == 0
    assert os.environ.get("TF_CPP_MIN_LOG_LEVEL") == after


@pytest.mark.parametrize("came_out", [KeyboardInterrupt, ValueError, SystemError])
def test_an_interruption_is_one_line_whatever_it_came_out_of_the_library_as(
    ikelos_command, toy, runner, monkeypatch, came_out
):
    def work(*arguments):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise came_out("pybind11::error_already_set") from None

    monkeypatch.setattr(runner, "run", work)
    before = signal.getsignal(signal.SIGINT)
    result = ikelos_command("run", "toy")
    assert (result.status, result.err) == (130, "Error: Interrupted; run the same command again to go on.\n")
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interruption_of_the_first_imports_is_one_line_too(ikelos_process):
    interrupt = """
class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == "typer.main":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupts())"""
    result = ikelos_process("list", before=interrupt)
    assert (result.status, result.out) == (130, "")
    assert result.err == "Error: Interrupted; run the same command again to go on.\n"


@pytest.mark.parametrize("command", [["list"], ["run", "language_modeling", "--workdir", "there"]])
def test_a_closed_standard_output_is_one_line(ikelos_process, tmp_path, command):
    result = ikelos_process(*command, preexec_fn=lambda: os.close(1), capture_output=False, stderr=-1)
    assert result.status == 1
    assert result.err == "Error: standard output must be open; it may be /dev/null. Received: it is closed\n"
    assert os.listdir(tmp_path) == ["cache"] or os.listdir(tmp_path) == []


def test_a_closed_standard_error_is_not_taken_by_a_file_of_the_run(ikelos_process):
    looks = "import os; print(os.path.realpath('/proc/self/fd/0'), os.path.realpath('/proc/self/fd/2'))"

    def close():
        os.close(0)
        os.close(2)

    result = ikelos_process("list", after=looks, preexec_fn=close, capture_output=False, stdout=-1)
    assert result.status == 0
    assert result.out.splitlines()[-1] == "/dev/null /dev/null"


def test_nothing_that_a_recipe_says_reaches_the_terminal_as_a_command(ikelos_command, toy, runner):
    path = toy / "red.yaml"
    text = (
        (toy / "toy.yaml")
        .read_text()
        .replace("Greets;", r'"Greets \x1b[31m \u202e [red];')
        .replace("greeting.", 'greeting."')
    )
    path.write_text(text)
    runner.outcome = {"Report": "a\x1b[0m", "Result": "b\x9b"}
    for arguments in (
        ["list"],
        ["run", path],
        ["recipe", path, "--keys"],
        ["run", path, "--set", "model.kind=\x1b[31m"],
    ):
        result = ikelos_command(*arguments)
        assert not re.search("[\x1b\x9b\u202e]", result.out + result.err)
    assert r"\x1b" in result.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "toy", "--workdir", ""],
        ["evaluate", ""],
        ["export", ""],
        ["predict", ""],
        ["predict", "x", "--save", ""],
        ["predict", "x", "--json", ""],
    ],
)
def test_an_empty_path_is_not_the_current_folder(ikelos_command, toy, runner, arguments):
    result = ikelos_command(*arguments)
    assert (result.status, runner.calls, os.listdir()) == (2, [], [])
    assert "must be a path. Received: ''" in result.err
    assert result.err.count("\n") == 1


def test_a_reader_that_stops_reading_is_no_error(ikelos_process):
    read, write = os.pipe()
    os.close(read)
    try:
        result = ikelos_process("list", capture_output=False, stdout=write, stderr=-1)
    finally:
        os.close(write)
    assert (result.status, result.err) == (1, "")


def test_output_to_a_full_disk_is_one_line(ikelos_process):
    with open("/dev/full", "w") as full:
        result = ikelos_process("list", capture_output=False, stdout=full, stderr=-1)
    assert (result.status, result.err) == (1, "Error: the disk is full\n")


def test_what_a_full_disk_did_not_take_is_dropped(monkeypatch, capsys):
    """Checks that Python does not try to write the output again at its exit, and print another error."""
    monkeypatch.setattr(listing, "console", lambda: types.SimpleNamespace(print=print))
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert app.execute(["list"]) == 1
    assert capsys.readouterr().err == "Error: the disk is full\n"
