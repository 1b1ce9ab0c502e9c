"""A pipeline as a DAG file for Airflow 3, whose tasks run `ikelos node`. Imports neither TFX nor Airflow.

Airflow and TFX cannot be installed together, so the file names the command of the environment that has TFX.
"""

import importlib.resources
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.recipe import Recipe

_TEMPLATE = importlib.resources.files("ikelos") / "tfx_configs" / "airflow" / "dag.py.jinja"
_POOL = "default_pool"
"""The pool that Airflow always has."""


def dag(recipe: Recipe, nodes: Mapping[str, Sequence[str]], compiled: Path, command: Path, folder: Path) -> str:
    """Returns the text of a DAG file.

    Args:
        recipe: The recipe, with a section `pipeline`.
        nodes: Names of the nodes, each with those that must run before it.
        compiled: File of the compiled pipeline.
        command: The command `ikelos` of the environment that has TFX.
        folder: Folder in which the tasks run; relative paths of the recipe begin there.

    Raises:
        UserError: If a path has characters that Airflow would replace.
    """
    import jinja2

    settings = recipe.config.pipeline
    assert settings is not None
    for path in (compiled, command, folder):
        if "{{" in str(path) or "{%" in str(path):
            raise UserError(f"a path must have no {{{{ and no {{%, which Airflow would replace. Received: {path}")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        name=ascii(recipe.name),
        dag_id=repr("ikelos_" + re.sub(r"[^A-Za-z0-9_.-]+", "_", recipe.name)),
        pipeline=repr(str(compiled)),
        command=repr(str(command)),
        folder=repr(str(folder)),
        nodes=[(repr(node), repr(list(before))) for node, before in nodes.items()],
        schedule=repr(settings.schedule),
        retries=settings.retries,
        timeout_minutes=settings.timeout_minutes,
        pool=repr(settings.pool or _POOL),
    )
