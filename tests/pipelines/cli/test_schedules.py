"""The examples of schedules: each parses as what it is, and its command is one that `ikelos` accepts."""

import configparser
import datetime
import shlex
import shutil
import subprocess

import pytest
import yaml

from ikelos.pipelines.recipe import loading

SCHEDULES = loading.RECIPES / "schedules"
COMMAND = ".venv/bin/ikelos"
UNESCAPED = {"%%": "%", "$$": "$"}


def units(name):
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str
    parser.read_string((SCHEDULES / name).read_text())
    return parser


def of_crontab():
    *_, line = (SCHEDULES / "crontab").read_text().splitlines()
    *times, command = line.split(maxsplit=5)
    assert times == ["0", "3", "*", "*", "*"]
    assert "%" not in command.replace(r"\%", "")
    place = "cd /srv/ikelos && "
    assert command.startswith(place)
    return command.removeprefix(place).replace(r"\%", "%")


def of_service():
    command = units("ikelos.service")["Service"]["ExecStart"]
    for escaped, text in UNESCAPED.items():
        assert command.count(text) == 2 * command.count(escaped)
        command = command.replace(escaped, text)
    shell, option, script = shlex.split(command)
    assert (shell, option) == ("/bin/sh", "-c")
    return script


def of_workflow():
    workflow = yaml.safe_load((SCHEDULES / "github_workflow.yaml").read_text())
    # YAML 1.1, which `yaml` reads, takes the key `on` for the truth value.
    assert workflow[True]["schedule"] == [{"cron": "0 3 * * 1"}]
    steps = workflow["jobs"]["train"]["steps"]
    assert all(("run" in step) != ("uses" in step) for step in steps)
    (command,) = [step["run"] for step in steps if step.get("run", "").startswith("ikelos")]
    return command.replace("ikelos", COMMAND, 1)


@pytest.mark.parametrize("command_of", [of_crontab, of_service, of_workflow])
def test_commands_are_accepted(ikelos_command, runner, tmp_path, command_of):
    stub = tmp_path / COMMAND
    stub.parent.mkdir(parents=True)
    stub.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\" > arguments\n")
    stub.chmod(0o755)
    subprocess.run(["/bin/sh", "-c", command_of()], cwd=tmp_path, check=True)
    arguments = (tmp_path / "arguments").read_text().splitlines()
    result = ikelos_command(*arguments)
    assert (result.status, result.err) == (0, "")
    ((name, recipe, workdir),) = runner.calls
    assert (name, recipe.name) == ("run", "language_modeling")
    year, week, _ = datetime.date.today().isocalendar()
    assert str(workdir) == "runs/weekly" + ("" if command_of is of_workflow else f"/{year}-W{week:02}")


def test_the_timer_starts_the_service():
    timer = units("ikelos.timer")
    assert timer.sections() == ["Unit", "Timer", "Install"]
    assert timer["Install"]["WantedBy"] == "timers.target"
    assert units("ikelos.service")["Service"]["Type"] == "oneshot"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_accepts_the_units():
    names = [str(SCHEDULES / name) for name in ("ikelos.service", "ikelos.timer")]
    found = subprocess.run(["systemd-analyze", "verify", *names], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
