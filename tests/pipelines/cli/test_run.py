import errno
import os
import resource
import shutil
import signal
import types
from pathlib import Path

import pytest

from ikelos.pipelines.cli import compare, folders, run
from ikelos.pipelines.cli.written import serving_command
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.folder import Folder
from ikelos.pipelines.lock import locked
from ikelos.pipelines.training.errors import Terminated


def test_a_run_gets_its_recipe_and_folder_and_says_where_it_wrote(ikelos_command, toy, runner):
    runner.outcome = {"Report": "runs/toy/report.html", "SavedModel": "runs/toy/export/1"}
    result = ikelos_command("run", "toy", "--set", "training.steps=3", "--set", "training.seed=7")
    assert (result.status, result.err) == (0, "")
    [(name, loaded, workdir)] = runner.calls
    assert (name, str(workdir)) == ("run", "runs/toy")
    assert (loaded.config.training.steps, loaded.config.training.seed) == (3, 7)
    assert "toy in runs/toy\n" in result.out  # the description does not hold for these steps
    written, _, served = result.out.partition("Written\n")[2].partition("\nTry it in a browser\n")
    assert [line.split() for line in written.splitlines()] == [
        ["Report", "runs/toy/report.html"],
        ["SavedModel", "runs/toy/export/1"],
    ]
    assert served == f"ikelos serve runs/toy\n\nServe it\n{serving_command(Path('runs/toy/export'))}\n"


def test_a_path_and_a_folder_may_be_given(ikelos_command, toy, runner, tmp_path):
    result = ikelos_command("run", toy / "toy_fast.yaml", "--workdir", tmp_path / "a" / "b")
    assert result.status == 0
    assert runner.calls[0][1].name == "toy_fast"
    assert "b: Greets; one second; 0.5 nats per greeting." in result.out
    assert runner.calls[0][2] == tmp_path / "a" / "b"


@pytest.mark.parametrize("command", ["evaluate", "export"])
def test_evaluate_and_export_take_the_folder_of_a_run(ikelos_command, toy, runner, tmp_path, command):
    shutil.copy(toy / "toy.yaml", tmp_path / "recipe.yaml")
    result = ikelos_command(command, tmp_path)
    assert (result.status, result.err) == (0, "")
    assert runner.calls[0][:2] == (command, tmp_path)
    assert "Report  report.html" in result.out


@pytest.mark.parametrize("command", ["evaluate", "export"])
def test_a_damaged_recipe_of_a_run_is_found_before_all_else(ikelos_command, toy, runner, tmp_path, command):
    (tmp_path / "recipe.yaml").write_text("task: greeting\n")
    result = ikelos_command(command, tmp_path)
    assert result.status == 2
    assert f"Error: {tmp_path}/recipe.yaml: missing key model\n" in result.err
    assert runner.calls == []


@pytest.mark.parametrize("command", ["evaluate", "export"])
def test_a_folder_without_a_run_is_refused(ikelos_command, runner, tmp_path, command):
    missing = ikelos_command(command, tmp_path / "missing")
    assert (missing.status, missing.err) == (
        2,
        f"Error: WORKDIR must be the folder of a run. Received: {tmp_path}/missing, which is not a folder\n",
    )
    empty = ikelos_command(command, tmp_path)
    assert empty.status == 2
    assert empty.err == (
        f"Error: WORKDIR must be the folder of a run, as `ikelos run` makes it. Received: {tmp_path}, "
        "without a recipe.yaml\n"
    )
    assert runner.calls == []


@pytest.mark.parametrize(
    ("override", "line"),
    [
        (
            "evaluation.stridee=3",
            "--set evaluation.stridee=3: unknown key evaluation.stridee; the nearest valid key is evaluation.stride",
        ),
        (
            "data.vocabulary.kind=byte",
            "`data.vocabulary.kind` must be character, as in the run in {run}. Received: data.vocabulary.kind=byte",
        ),
    ],
)
def test_a_wrong_key_of_an_evaluation_is_found_before_tensorflow_is_loaded(
    ikelos_process, tiny, tmp_path, override, line
):
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(tiny().source, run / "recipe.yaml")
    result = ikelos_process("evaluate", run, "--set", override, after="assert 'tensorflow' not in sys.modules")
    assert (result.status, result.err) == (2, f"Error: {line.format(run=run)}\n")


def test_a_folder_with_a_run_of_another_recipe_is_refused_before_tensorflow_is_loaded(ikelos_process, tiny, tmp_path):
    run = tmp_path / "run"
    checkpoints = Folder(run).checkpoints("language_model")
    checkpoints.mkdir(parents=True)
    (checkpoints / "step-00000000.npz").touch()
    source = shutil.copy(tiny().source, run / "recipe.yaml")
    changed = ("--set", "training.seed=7", "--workdir", run)
    result = ikelos_process("run", source, *changed, after="assert 'tensorflow' not in sys.modules")
    assert (result.status, result.err.splitlines()[0]) == (
        2,
        f"Error: `training.seed` must be {tiny().config.training.seed}, as in the run in {run}. "
        "Received: training.seed=7",
    )


def test_a_wrong_setting_of_the_kernels_is_found_before_the_run(ikelos_command, toy, runner, monkeypatch):
    monkeypatch.setenv("IKELOS_KERNELS", "foo")
    result = ikelos_command("run", "toy")
    assert (result.status, runner.calls) == (2, [])
    assert result.err == "Error: `IKELOS_KERNELS` must be 'native' or 'reference'. Received: IKELOS_KERNELS='foo'\n"


def test_the_page_about_the_seeds_must_be_writable_before_the_first_run(ikelos_command, toy, runner):
    Path("there").mkdir()
    Path("there", "comparison").write_text("")
    result = ikelos_command("run", "toy", "--seeds", "0,1", "--workdir", "there")
    assert (result.status, runner.calls) == (2, [])
    assert result.err == "Error: there/comparison must be a folder to write to. Received: a file\n"


def test_each_seed_has_a_folder_and_all_are_compared(ikelos_command, toy, runner, monkeypatch):
    shown = []
    monkeypatch.setattr(compare, "show", lambda comparison: shown.append(comparison))
    monkeypatch.setattr(run, "load_comparison", lambda: types.SimpleNamespace(compare=lambda *given: given))
    result = ikelos_command("run", "toy", "--seeds", "0, 1,12", "--set", "training.steps=3", "--workdir", "there")
    assert (result.status, result.err) == (0, "")
    folders_of = [Path("there", f"seed-{seed}") for seed in (0, 1, 12)]
    assert [call[2] for call in runner.calls] == folders_of
    assert [call[1].config.training.seed for call in runner.calls] == [0, 1, 12]
    assert {call[1].config.training.steps for call in runner.calls} == {3}
    assert shown == [(folders_of, Path("there", "comparison"))]


@pytest.mark.parametrize("seeds", ["", "0,", "1,1", "-1", "a", "0;1"])
def test_seeds_are_whole_numbers_each_once(ikelos_command, toy, runner, seeds):
    result = ikelos_command("run", "toy", "--seeds", seeds)
    assert (result.status, runner.calls) == (2, [])
    assert result.err == (
        f"Error: `--seeds` must be whole numbers, each once, such as 0,1,2. Received: --seeds {seeds}\n"
    )
    assert os.listdir() == []


BAD_RECIPES = {
    "unknown recipe": (
        ["toyy"],
        "a recipe must be one of toy, toy_fast, or the path of a YAML file. Received: 'toyy' (did you mean toy?)",
    ),
    "missing path": (["a/toy.yaml"], "a recipe must be a YAML file. Received: a/toy.yaml, which does not exist"),
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
        "--set must be KEY=VALUE, such as training.steps=20. Received: 'training.steps'",
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
        (
            "task: [\n",
            "Error: bad.yaml:2: must be YAML. Received: "
            "expected the node content, but found '<stream end>' (column 1)\n",
        ),
        ("task: a\ntask: b\n", "Error: bad.yaml:2: must be YAML. Received: duplicate key 'task' (column 1)\n"),
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
    assert (at.status, at.err) == (
        2,
        f"Error: {tmp_path}/file must be a folder to write to. Received: a file\n",
    )
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


def test_a_folder_that_is_not_utf8_is_refused_before_the_run(ikelos_command, toy, runner):
    result = ikelos_command("run", "toy", "--workdir", os.fsdecode(b"a\xff"))
    assert result.status == 2
    assert result.err == (
        "Error: the folder's path must be UTF-8, because TensorFlow accepts no other. Received: a\\udcff\n"
    )
    assert (runner.calls, os.listdir()) == ([], [])


@pytest.mark.parametrize("name", ["[red] a", "a*b?", "back\\slash", "new\nline", "-x", "é 漢", "a:b,c"])
def test_a_folder_may_have_any_other_name(ikelos_command, toy, runner, name):
    result = ikelos_command("run", "toy", f"--workdir={name}")
    assert (result.status, result.err) == (0, "")
    assert str(runner.calls[0][2]) == name


@pytest.mark.parametrize("name", ["stages", "models", "evaluations", "report", "export"])
def test_every_folder_that_a_run_writes_to_must_be_writable_before_it(ikelos_command, toy, runner, monkeypatch, name):
    os.makedirs("there")
    Path("there", name).write_text("")
    refused = ikelos_command("run", "toy", "--workdir", "there")
    assert refused.status == 2
    assert refused.err == f"Error: there/{name} must be a folder to write to. Received: a file\n"
    assert runner.calls == []


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
        (KeyboardInterrupt(), "Interrupted; run the same command again to go on.", 130),
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
