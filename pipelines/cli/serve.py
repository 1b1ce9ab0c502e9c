"""`ikelos serve`."""

import contextlib
import importlib.util
import logging
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ikelos.pipelines.cli.arguments import Library, path
from ikelos.pipelines.console import Progress, console, shown
from ikelos.pipelines.errors import UserError

if TYPE_CHECKING:
    from ikelos.serving.server.versions import Version

EXAMPLE = (
    "Example: [bold]ikelos serve runs/language_modeling[/bold]"
    "\n\nThen open http://localhost:8501/ in a browser. REST and gRPC are those of TensorFlow Serving, which is the "
    "server for production. New versions are loaded while the old ones serve. Ctrl-C finishes the running requests "
    "and ends the server. Writes no files."
)
_NEEDED = ("grpc", "prometheus_client", "starlette", "uvicorn")


def serve(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="The folder of a run, a folder of a model's versions, or a folder of several such folders.",
            show_default=False,
            parser=path,
        ),
    ],
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    rest_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of REST and the page; 0 for any.")] = 8501,
    grpc_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of gRPC; 0 for any.")] = 8500,
    poll: Annotated[float, typer.Option(min=0.01, help="Seconds between two looks for new versions.")] = 1.0,
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[MODEL:]LABEL=VERSION",
            help="Serve a version besides the newest, by a label such as stable or canary.",
        ),
    ] = None,
    max_batch: Annotated[
        int, typer.Option(min=1, help="Most rows of several requests that are run as one batch; 1 merges none.")
    ] = 1,
    batch_delay: Annotated[
        float, typer.Option(min=0, max=1000, help="Milliseconds that a request waits for others to merge with.")
    ] = 0.0,
    max_mb: Annotated[int, typer.Option(min=1, max=1024, help="Most MiB of a request.")] = 32,
    max_rows: Annotated[int, typer.Option(min=1, help="Most rows of a request.")] = 1024,
    max_requests: Annotated[int, typer.Option(min=1, help="Most requests at once, running and waiting.")] = 128,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Most runs of models at once.", show_default="twice the processors")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.001, help="Most seconds of a request.")] = 60.0,
    library: Library = None,
) -> None:
    """Serve exported models on this machine, with a page to try them."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"serve needs {', '.join(missing)}: install Ikelos with the extra `serving`")
    if not model.is_dir():  # as `check_path` says, without the imports below
        raise UserError(f"PATH must be a folder. Received: {model}, which is not a folder")
    # Here, because they import numpy and gRPC, which `ikelos --help` does not need.
    from ikelos.serving.loopback import is_loopback
    from ikelos.serving.server import CannotServe, Settings, check_path, find_models, run

    try:
        check_path(model)
    except ValueError as error:
        raise UserError(str(error)) from error
    settings = Settings(
        path=model,
        library=library,
        host=host,
        rest_port=rest_port,
        grpc_port=grpc_port,
        poll=poll,
        labels=_labels(label or [], list(find_models(model))),
        max_batch=max_batch,
        batch_delay=batch_delay / 1000,
        max_bytes=max_mb * 2**20,
        max_rows=max_rows,
        max_requests=max_requests,
        timeout=timeout,
        **({} if concurrency is None else {"concurrency": concurrency}),
    )
    _log_lines()
    if not is_loopback(host):
        print(
            f"Warning: whoever reaches {host} can use the models, because the server has no authentication.",
            file=sys.stderr,
        )
    with contextlib.ExitStack() as loading:
        loading.enter_context(Progress("loading the models"))

        def ready(rest: int, grpc: int, versions: "list[Version]") -> None:
            loading.close()
            _print_ready(host, rest, grpc, versions)

        try:
            run(settings, ready)
        except CannotServe as error:
            raise UserError(str(error)) from error


def _labels(given: list[str], models: list[str]) -> dict[str, dict[str, int]]:
    """Returns the number of the version by model and label."""
    labels: dict[str, dict[str, int]] = {}
    for text in given:
        found = re.fullmatch(r"(?:([^:=]+):)?([^:=/]+)=(\d+)", text)
        if not found:
            raise UserError(f"--label must be LABEL=VERSION or MODEL:LABEL=VERSION. Received: --label {text}")
        if found[1] and found[1] not in models:
            raise UserError(f"--label must name one of the models {', '.join(models)}. Received: --label {text}")
        for name in [found[1]] if found[1] else models:
            labels.setdefault(name, {})[found[2]] = int(found[3])
    return labels


def _log_lines() -> None:
    """Prints the server's messages about versions to standard error, a line each."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger("ikelos.serving.server")
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.INFO)


def _print_ready(host: str, rest: int, grpc: int, versions: "list[Version]") -> None:
    name = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    served = ", ".join(f"{version.name} {version.number}" for version in versions)
    line = f"Serving {served} at http://{name}:{rest}/ (gRPC: port {grpc}). Ctrl-C ends the server."
    console().print(shown(line), soft_wrap=True)
    sys.stdout.flush()
