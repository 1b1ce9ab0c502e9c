"""Finds the models in a folder."""

import os
from pathlib import Path

from ikelos.serving.incoming import model_name, versions


def check_path(path: Path) -> None:
    """Checks that there is a model to serve.

    Raises:
        ValueError: If there is none in `path`, or two have one name.
    """
    if not path.is_dir():
        raise ValueError(f"PATH must be a folder. Received: {path}, which is not a folder")
    if (path / "saved_model.pb").is_file():
        parent = Path(os.path.abspath(path)).parent
        raise ValueError(f"PATH must be {parent}, the folder of the versions. Received: {path}, one version")
    if not find_models(path):
        raise ValueError(
            "PATH must hold a model, as VERSION/saved_model.pb, export/VERSION/saved_model.pb, or either in a folder "
            f"of its own. Received: {path}, without a version"
        )


def find_models(path: Path) -> dict[str, Path]:
    """Returns the base paths of models, the folders of their versions, by the name of the model.

    Args:
        path: A base path, with `1/`; the folder of a run, with `export/1/`; or a folder of such folders. A model has
            the name of its folder, and a run's export that of the run.

    Raises:
        ValueError: If two models have one name.
    """
    path = Path(os.path.abspath(path))  # not `resolve`: a link's own name is the model's
    bases = [base for base in [_base(path)] if base]
    if not bases and path.is_dir():
        bases = [base for entry in sorted(path.iterdir()) if (base := _base(entry))]
    models: dict[str, Path] = {}
    for base in bases:
        name = model_name(base)
        if name in models:
            raise ValueError(f"two models must not have one name. Received: {models[name]} and {base}, both {name}")
        models[name] = base
    return models


def _base(folder: Path) -> Path | None:
    """Returns the base path that `folder` is or, as the folder of a run, has; None if there is none."""
    if not folder.is_dir() or folder.name.startswith("."):
        return None
    return next((base for base in (folder, folder / "export") if _has_version(base)), None)


def _has_version(base: Path) -> bool:
    return any(version.is_dir() for version in versions(base).values())
