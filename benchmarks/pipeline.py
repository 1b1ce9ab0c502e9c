"""Seconds and peak memory of each node of a pipeline, next to `ikelos run` of the same recipe.

    tests/pipelines/tfx/environment.sh python benchmarks/pipeline.py language_modeling --set training.steps=20

Each node is a process of its own, as on Airflow. The overhead of TFX is the time of all nodes less that of the run.
Much of it is the import of TensorFlow and TFX in each node, whose time the first line states.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time


def measured(*command, cache):
    """Returns the seconds and the peak memory in GB of a command."""
    start = time.monotonic()
    process = subprocess.Popen(command, env=os.environ | {"IKELOS_CACHE": str(cache)}, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command} ended with status {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - start, usage.ru_maxrss / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    options = parser.parse_args()
    ikelos = str(pathlib.Path(sys.executable).with_name("ikelos"))
    overrides = [word for override in options.overrides for word in ("--set", override)]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        rows = {"import of TFX": measured(sys.executable, "-c", "import ikelos.pipelines.tfx.node", cache=folder)}
        run = [ikelos, "run", options.recipe, "--workdir", str(folder / "run"), *overrides]
        rows["ikelos run"] = measured(*run, cache=folder / "a")
        write = [
            ikelos,
            "pipeline",
            options.recipe,
            "--on",
            "airflow",
            "--workdir",
            str(folder / "pipeline"),
            *overrides,
        ]
        rows["ikelos pipeline --on airflow"] = measured(*write, cache=folder / "b")
        from ikelos.pipelines.tfx import compiled

        (file,) = (folder / "pipeline").glob("pipeline-*.json")
        nodes = list(compiled.nodes(compiled.read(file)))
        for node in nodes:
            rows[node] = measured(ikelos, "node", str(file), node, "--run-id", "one", cache=folder / "b")
    rows["all nodes"] = sum(rows[node][0] for node in nodes), max(rows[node][1] for node in nodes)
    for label, (seconds, memory) in rows.items():
        print(f"{label:30} {seconds:7.1f} s {memory:6.2f} GB")


if __name__ == "__main__":
    main()
