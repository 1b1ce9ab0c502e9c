"""Training by recipes, from data to a served model: tasks, training, evaluation, reports and the command line."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ikelos.pipelines.trained import Run


def load(run: str | PathLike[str]) -> Run:
    """Loads the models and the preprocessing of a finished run.

    Reads no data and writes nothing.

    Args:
        run: Folder of the run.

    Returns:
        The run, with `model` (of the last stage) and `models` (by stage), which have the weights that were evaluated,
        and with `preprocessing`, `recipe`, `task` and `figures`.

    Raises:
        UserError: If the folder holds no run, the run is not finished, or its recipe is invalid.

    Example:

    ```python
    from ikelos import pipelines

    run = pipelines.load("runs/language_modeling")
    tokens = run.preprocessing.token_batch(["To be, or"])
    logits = run.model(tokens)  # [B, T, V]; with n-grams, log-probabilities
    print(run.figures["model"]["nats_per_character"])
    ```
    """
    from ikelos.pipelines import trained  # imports TensorFlow, which the command line's --help need not wait for

    return trained.load(Path(run))
