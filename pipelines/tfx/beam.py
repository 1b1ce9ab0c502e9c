"""Distributes the work of a node by Apache Beam, with any of its runners."""

import functools
import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam
from apache_beam.runners.direct.direct_runner import DirectRunner
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.tfx import storage
from ikelos.pipelines.tfx.steps import Each


def each(pipeline: apache_beam.Pipeline, staging: str) -> Each:
    """Returns a function like `map` that runs on Beam.

    Each call is a Beam pipeline of its own. Results come back in files, which every runner can write; Beam itself can
    return them to this process with some runners only.

    Args:
        pipeline: Pipeline that has the options; it is left unused.
        staging: Folder or URL for the results that all workers reach.

    Raises:
        UserError, OSError: While the results of the returned function are taken, if the distributed function raises
            one.
    """
    return functools.partial(_run, pipeline, staging)


def _run(
    pipeline: apache_beam.Pipeline, staging: str, function: Callable[[Any], Any], items: Iterable[Any]
) -> Iterator[Any]:
    folder = f"{staging}/{uuid.uuid4().hex}"
    texts = [json.dumps([number, item]) for number, item in enumerate(items)]
    # The DirectRunner itself would first try to download another runner.
    runner = FnApiRunner() if isinstance(pipeline.runner, DirectRunner) else pipeline.runner
    with apache_beam.Pipeline(runner, pipeline.options) as work:
        _ = work | apache_beam.Create(texts) | apache_beam.Map(_keep_result, function, folder)
    for number in range(len(texts)):
        result, error = json.loads(storage.read(f"{folder}/{number}.json"))
        if isinstance(error, list):
            raise OSError(*error)
        if error is not None:
            raise UserError(error)
        yield result
    storage.remove(folder)


def _keep_result(text: str, function: Callable[[Any], Any], folder: str) -> None:
    """Writes the result of the function, or its error, into a file: Beam makes a RuntimeError of every error."""
    number, item = json.loads(text)
    try:
        outcome = [function(item), None]
    except UserError as error:
        outcome = [None, str(error)]
    except OSError as error:
        outcome = [None, [error.errno, error.strerror or str(error), error.filename]]
    storage.write(f"{folder}/{number}.json", json.dumps(outcome).encode())
