"""Nodes as jobs of `forks.py`, which has loaded TFX for all of them."""

import functools
import os
import pathlib
import signal

from ikelos.pipelines.tfx import compiled, node

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


def run(job):
    """Runs a node, with a cache beside the pipeline's file.

    Args:
        job: `pipeline`, the path of the pipeline's file; `node`, the node's name; and `points`, the name of a function
            of this module that tells where the node is killed, or null.
    """
    path = pathlib.Path(job["pipeline"])
    os.environ["IKELOS_CACHE"] = str(path.with_name("cache"))
    if job["points"] is not None:
        place, function, number = globals()[job["points"]]()[job["node"]]
        setattr(place, function, kills(getattr(place, function), number))
    assert node.run(compiled.read(path), job["node"], RUN) == "done"
