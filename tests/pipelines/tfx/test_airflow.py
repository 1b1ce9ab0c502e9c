"""DAG files in a real Airflow 3, which `environment.sh` installs beside TFX."""

import contextlib
import os
import pathlib
import signal
import socket
import sqlite3
import subprocess
import time

import pytest

from ikelos.pipelines import recipe as recipes
from ikelos.pipelines.cli import main
from ikelos.serving.check import stock_check

pytestmark = pytest.mark.tfx

DAG, RUN = "ikelos_tiny", "a_run"
PATIENCE = 900
"""Seconds after which a state that does not come fails the test."""


class Airflow:
    """An Airflow of its own in a folder: scheduler, reader of DAG files, and API server."""

    def __init__(self, home):
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            port = probe.getsockname()[1]
        self._command = pathlib.Path(os.environ["IKELOS_TEST_AIRFLOW"]) / "bin" / "airflow"
        self.home, self.dags = home, home / "dags"
        self.dags.mkdir(parents=True)
        self._environment = os.environ | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__API__BASE_URL": f"http://localhost:{port}",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://localhost:{port}/execution/",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
        }
        self._processes, self._every = {}, []
        self.call("db", "migrate")

    def call(self, *arguments):
        found = subprocess.run([self._command, *arguments], env=self._environment, capture_output=True, text=True)
        assert found.returncode == 0, found.stdout[-2000:] + found.stderr[-4000:]
        return found.stdout

    def start(self, *names):
        for name in names:
            log = (self.home / f"{name}.log").open("a")
            self._processes[name] = subprocess.Popen(
                [self._command, name], env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
            self._every.append(self._processes[name])

    def kill(self, name):
        """Kills a process without a chance to clean up; those that it started live on."""
        self._processes[name].kill()
        self._processes[name].wait()

    def stop(self):
        for process in self._every:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def states(self, query):
        with sqlite3.connect(f"file:{self.home}/airflow.db?mode=ro", uri=True, timeout=30) as store:
            return dict(store.execute(query).fetchall())

    def wait(self, done):
        """Waits until `done` gives something that is true of the states of the run's tasks, and of the run itself."""
        end = time.monotonic() + PATIENCE
        while True:
            tasks = self.states(f"SELECT task_id, state FROM task_instance WHERE run_id = '{RUN}'")
            run = self.states(f"SELECT run_id, state FROM dag_run WHERE run_id = '{RUN}'").get(RUN)
            if found := done(tasks, run):
                return found
            assert time.monotonic() < end, (run, tasks, (self.home / "scheduler.log").read_text()[-4000:])
            time.sleep(0.5)


@pytest.fixture
def airflow(tmp_path):
    made = Airflow(tmp_path / "airflow")
    yield made
    made.stop()


@pytest.fixture
def written(tiny_lstm, airflow, tmp_path, monkeypatch):
    """Writes the tiny recipe's DAG file and gives it to Airflow; gives the folder of the pipeline."""
    recipe = tiny_lstm("training.steps=400", "training.steps_per_epoch=400", "training.checkpoint_every=5")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tiny.yaml"
    path.write_text(recipes.dump(recipe))
    conditions = "pipeline.blessing={worst: null, better_than_last: true}"
    arguments = ["pipeline", str(path), "--on", "airflow", "--workdir", "pipeline"]
    assert main([*arguments, "--set", conditions, "--set", "pipeline.retries=3"]) == 0
    (tmp_path / "pipeline" / "tiny_dag.py").rename(airflow.dags / "tiny_dag.py")
    return tmp_path / "pipeline"


def node_process(pipeline, name):
    """The process id of a running node of the pipeline in a folder: other tests run nodes of the same names."""
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        of_pipeline = any(word.startswith(os.fsencode(pipeline)) for word in words)
        if of_pipeline and b"node" in words and name.encode() in words and b"python" in words[0]:
            return int(folder.name)
    return None


def test_a_dag_file_is_read_without_tensorflow(written, airflow):
    python = airflow._command.with_name("python")
    code = f"import runpy, sys; runpy.run_path({str(airflow.dags / 'tiny_dag.py')!r}); print(*sys.modules)"
    found = subprocess.run([python, "-c", code], env=airflow._environment, capture_output=True, text=True, check=True)
    assert not {"tensorflow", "tfx", "ikelos"} & set(found.stdout.split())


def test_its_scheduler_leads_to_a_pushed_model_though_it_and_a_node_are_killed(written, airflow, tmp_path):
    airflow.start("api-server", "dag-processor", "scheduler")
    airflow.wait(lambda *_: airflow.states(f"SELECT dag_id, is_paused FROM dag WHERE dag_id = '{DAG}'"))
    airflow.call("dags", "unpause", DAG)
    airflow.call("dags", "trigger", DAG, "--run-id", RUN)
    checkpoints = tmp_path / "cache" / "pipelines"
    begun = "*/stages/*/checkpoints/step-*.npz"
    airflow.wait(lambda *_: list(checkpoints.glob(begun)) and node_process(written, "Trainer"))
    os.kill(node_process(written, "Trainer"), signal.SIGKILL)
    airflow.wait(lambda tasks, _: tasks.get("Trainer") == "up_for_retry")
    airflow.wait(lambda tasks, _: tasks.get("Evaluator") == "running" and node_process(written, "Evaluator"))
    airflow.kill("scheduler")
    airflow.start("scheduler")
    airflow.wait(lambda _, run: run == "success")
    served = list((written / "served").glob("[0-9]*"))
    assert len(served) == 1
    assert stock_check(served[0])
    for name in ("Trainer/model", "Evaluator/evaluation", "Pusher/pushed"):
        assert len(list((written / "artifacts" / name).iterdir())) == 1
