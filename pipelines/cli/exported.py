"""Exported models for the commands that run them, in TensorFlow's C library."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ikelos.pipelines.errors import UserError

if TYPE_CHECKING:
    from ikelos.serving.stock import StockModel


def find_version(path: Path) -> Path:
    """Returns the folder of a SavedModel: `path`, its newest version, or the newest version of a run's export.

    Raises:
        UserError: If there is none.
    """
    if not path.is_dir():
        raise UserError(
            f"PATH must be a SavedModel's folder, or one that holds it. Received: {path}, which is not a folder"
        )
    if (path / "saved_model.pb").is_file():
        return path
    # Here, because it imports numpy, which `ikelos --help` does not need.
    from ikelos.serving import newest

    for base in (path, path / "export"):
        version = newest(base)
        if version is not None and (version / "saved_model.pb").is_file():
            return version
        if version is not None:
            raise UserError(f"{version} must be the folder of a SavedModel. Received: a folder without saved_model.pb")
    raise UserError(
        "PATH must hold saved_model.pb, VERSION/saved_model.pb or export/VERSION/saved_model.pb, where VERSION is the "
        f"highest number there. Received: {path}"
    )


def checked_card(version: Path) -> dict[str, Any] | None:
    """Returns the card of a version, after comparing its files with the card; None if another program exported it.

    Raises:
        UserError: If the card or a file is missing, cut off or changed.
    """
    from ikelos.serving import ExportError, read_card
    from ikelos.serving.damage import check_files

    try:
        check_files(version, hashes=True)
        return read_card(version)
    except ExportError as error:
        raise UserError(str(error)) from error


def open_exported(version: Path, library: Path | None = None) -> tuple["StockModel", dict[str, Any]]:
    """Returns the model in the folder of a version, a context manager, and its examples by signature.

    Args:
        version: The folder.
        library: Ikelos's native library, for a version of the flavour `native`.

    Raises:
        UserError: If it is no SavedModel that the C library can load, or is damaged.
    """
    from ikelos.serving import ExportError
    from ikelos.serving.examples import read_examples
    from ikelos.serving.stock import StockError, StockModel, complaint

    try:
        examples = read_examples(version)
    except FileNotFoundError:  # another program exported the model: every input must be given
        examples = {}
    except ExportError as error:
        raise UserError(str(error)) from error
    try:
        return StockModel(version, library), examples
    except ExportError as error:
        raise UserError(str(error)) from error
    except StockError as error:
        raise UserError(
            f"{version} must be a complete SavedModel, with no ops but those of TensorFlow and TF Text. Copy it again "
            f"if a file is cut off. Received: {complaint(str(error))}"
        ) from error


def run_signature(model: "StockModel", signature: str, values: dict[str, Any]) -> dict[str, Any]:
    """Returns the outputs of a signature.

    Raises:
        UserError: If the model cannot be run. It has loaded, so the inputs are at fault.
    """
    from ikelos.serving.stock import StockError, complaint

    try:
        return model.run(signature, values)
    except StockError as error:
        raise UserError(f"signature {signature}: {complaint(str(error))}") from error
