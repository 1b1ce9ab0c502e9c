"""The program with all commands, which turns every failure into one line and an exit status."""

import io
import os
import signal
import sys
import traceback
from typing import Annotated, Any

import typer

import ikelos
from ikelos.pipelines.cli import (
    chat,
    compare,
    data,
    deploy,
    describe,
    doctor,
    evaluate,
    export,
    failures,
    listing,
    pipeline,
    predict,
    recipe,
    run,
    runs,
    schema,
    serve,
)
from ikelos.pipelines.console import printable

# Typer raises click's usage errors. New versions contain a copy of click, old ones use the package.
UsageError: Any = typer.BadParameter.__base__

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    name="ikelos",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings=HELP_OPTIONS,
    epilog="Exit status: 0 success, 1 failure, 2 bad input, 130 interrupted, 143 ended by SIGTERM.",
)
app.command("list", epilog=listing.EXAMPLE)(listing.list_)
app.command("recipe", epilog=recipe.EXAMPLE)(recipe.recipe)
app.command("data", epilog=data.EXAMPLE)(data.data)
app.command("run", epilog=run.EXAMPLE)(run.run)
app.command("evaluate", epilog=evaluate.EXAMPLE)(evaluate.evaluate)
app.command("compare", epilog=compare.EXAMPLE)(compare.compare)
app.command("export", epilog=export.EXAMPLE)(export.export)
app.command("describe", epilog=describe.EXAMPLE)(describe.describe)
app.command("predict", epilog=predict.EXAMPLE)(predict.predict)
app.command("chat", epilog=chat.EXAMPLE)(chat.chat)
app.command("serve", epilog=serve.EXAMPLE)(serve.serve)
app.command("pipeline", epilog=pipeline.EXAMPLE)(pipeline.pipeline)
app.command("node", epilog=pipeline.NODE_EXAMPLE)(pipeline.node)
app.command("runs", epilog=runs.EXAMPLE)(runs.runs)
schemas = typer.Typer(help="Propose a schema that the examples of a pipeline must agree with.", rich_markup_mode="rich")
schemas.command("infer", epilog=schema.EXAMPLE)(schema.infer)
app.add_typer(schemas, name="schema", context_settings=HELP_OPTIONS)
deployments = typer.Typer(
    help="Write what runs models on TensorFlow Serving, and move its labels from version to version.",
    rich_markup_mode="rich",
)
deployments.command("render", epilog=deploy.EXAMPLE)(deploy.render)
deployments.command("canary", epilog=deploy.CANARY_EXAMPLE)(deploy.canary)
deployments.command("promote", epilog=deploy.PROMOTE_EXAMPLE)(deploy.promote)
deployments.command("rollback", epilog=deploy.ROLLBACK_EXAMPLE)(deploy.rollback)
app.add_typer(deployments, name="deploy", context_settings=HELP_OPTIONS)
app.command("doctor", epilog=doctor.EXAMPLE)(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"ikelos {ikelos.__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks and TensorFlow's log. May stand anywhere in the command.")
    ] = False,
) -> None:
    """Sequence and generative models on TensorFlow and Keras 3, from data to a served model."""


def execute(arguments: list[str]) -> int:
    """Runs the command that `arguments` name and returns the exit status. Only `--debug` shows a traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # The terminal's encoding may lack characters of a file's name. Standard error escapes them by default.
        sys.stdout.reconfigure(errors="backslashreplace")
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"] or ["--help"]
    interrupted = []

    def note(number, frame):
        interrupted.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        # Not `command.main`, which treats interruptions and usage errors differently in each version.
        with typer.main.get_command(app).make_context("ikelos", arguments) as context:
            context.command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as stop:
        return stop.exit_code
    except UsageError as error:
        where = error.ctx.command_path if error.ctx else "ikelos"
        message = error.format_message()
        end = "" if message.endswith((".", "?")) else "."
        _complain(f"{message}{end} See `{where} --help`.")
        return 2
    except BrokenPipeError:
        _give_up_output()  # The reader, such as `head`, has closed the pipe.
        return 1
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        # An interruption that passes through C++ code arrives as another exception.
        message, status = failures.explain(KeyboardInterrupt() if interrupted else error)
        _complain(message)
        try:
            sys.stdout.flush()
        except OSError:
            _give_up_output()  # The disk is full, which the message says already.
        return status
    finally:
        signal.signal(signal.SIGINT, before)
    return 0


def _complain(message: str) -> None:
    for line in message.split("\n"):
        print(f"Error: {printable(line)}", file=sys.stderr)


def _give_up_output() -> None:
    """Drops the output that could not be written: Python would try again at its exit, and print another error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
