"""Runs nodes, each in a fork of this process, which has loaded TFX but run nothing of TensorFlow.

A fork of a process whose TensorFlow has threads may wait for ever. Each line of the standard input has in JSON a
pipeline's file, a node, and the name of a function of this module that tells where the node is killed, or null. After
each node, its exit code is printed.
"""

import functools
import json
import multiprocessing
import os
import pathlib
import signal
import sys

RUN = "a run"


def kills(function, number=1):
    """Returns a function that ends this process at its call of this number and is `function` at those before it."""
    calls = []

    @functools.wraps(function)
    def replacement(*arguments, **named):
        calls.append(arguments)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **named)

    return replacement


def in_its_work():
    """For each node, a function that it calls before its outputs are complete: its place, its name and which call."""
    from apache_beam.io import filebasedsink

    from ikelos.pipelines.data import records
    from ikelos.pipelines.tfx import components, push, steps

    return {
        "ExampleGen": (records, "write", 2),
        "SchemaImporter": (components.storage, "write", 1),
        "StatisticsGen": (filebasedsink.FileBasedSink, "finalize_write", 1),
        "ExampleValidator": (components, "_write_anomalies", 2),
        "SkewValidator": (components, "_write_anomalies", 1),
        "Preparation": (steps, "copy_file", 2),
        "Trainer": (steps, "copy", 2),
        "Evaluator": (steps, "Verdict", 1),
        "InfraValidator": (components, "_bless", 1),
        "Pusher": (push, "publish", 1),
    }


def at_its_end():
    """For each node, the function of TFX that notes its outputs."""
    from tfx.orchestration.portable import launcher

    return dict.fromkeys(in_its_work(), (launcher.Launcher, "_publish_successful_execution", 1))


def run(path, name, points):
    """Runs a node, which is killed where the function `points` tells, with a cache beside the pipeline's file."""
    from ikelos.pipelines.tfx import compiled, node

    os.environ["IKELOS_CACHE"] = str(pathlib.Path(path).with_name("cache"))
    if points is not None:
        place, function, number = globals()[points]()[name]
        setattr(place, function, kills(getattr(place, function), number))
    assert node.run(compiled.read(pathlib.Path(path)), name, RUN) == "done"


def main():
    from ikelos.pipelines.tfx import node  # noqa: F401 (loaded once, for all forks)

    for line in sys.stdin:
        process = multiprocessing.get_context("fork").Process(target=run, args=json.loads(line))
        process.start()
        process.join()
        print(process.exitcode, flush=True)


if __name__ == "__main__":
    main()
