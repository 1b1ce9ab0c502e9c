import dataclasses
import subprocess
import sys
import types

import pytest

import ikelos.pipelines
from ikelos.pipelines import cli, console


@dataclasses.dataclass(frozen=True)
class Result:
    status: int
    out: str
    err: str


@pytest.fixture
def ikelos_command(capsys, monkeypatch, tmp_path):
    """Runs `ikelos ...` in this process, in an empty folder and a wide terminal."""
    monkeypatch.setattr(console, "_SECONDS_BEFORE_FIRST_LINE", 600.0)  # a busy machine must not add a line
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")  # so that the settings of `main` are undone
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def call(*arguments):
        status = cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(status, captured.out, captured.err)

    return call


@pytest.fixture
def ikelos_process(tmp_path):
    """Runs `ikelos ...` in a separate process; `before` and `after` are Python code to run there first and last."""

    def call(*arguments, before="", after="", **options):
        run = "from ikelos.pipelines.cli import main; status = main()"
        script = f"import sys\n{before}\n{run}\n{after}\nsys.exit(status)"
        usual = {"capture_output": True, "text": True, "errors": "surrogateescape", "cwd": tmp_path, "timeout": 600}
        command = [sys.executable, "-c", script, *map(str, arguments)]
        done = subprocess.run(command, check=False, **usual | options)
        return Result(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def runner(monkeypatch):
    """Replaces `ikelos.pipelines.runner` by an object that records calls, and returns or raises `outcome`."""
    fake = types.SimpleNamespace(calls=[], outcome={"Report": "report.html"})

    def does(name):
        def function(*arguments):
            fake.calls.append((name, *arguments))
            if isinstance(fake.outcome, BaseException):
                raise fake.outcome
            return fake.outcome

        return function

    for name in ("run", "describe", "evaluate", "export"):
        setattr(fake, name, does(name))
    monkeypatch.setattr(ikelos.pipelines, "runner", fake, raising=False)
    return fake
