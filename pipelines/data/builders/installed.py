"""Reads data files of an installed package without importing it, and checks them against pinned checksums."""

import hashlib
import importlib.metadata
import pathlib

from ikelos.pipelines.errors import UserError


def read(data_set: str, package: str, versions: str, checksums: pathlib.Path, folder: str = "") -> dict[str, bytes]:
    """Returns the contents of the files by their names without suffix, sorted.

    Args:
        data_set: Name of the data set, for errors.
        package: Distribution that has the files; one of the extra `pipelines`.
        versions: Versions known to have these files, for errors: `"3.9 to 3.11"`.
        checksums: File in the format of sha256sum, one line for each file to read, with paths relative to `folder`.
        folder: Folder relative to site-packages.

    Raises:
        UserError: If the package is not installed, or a file is missing or has another checksum.
    """
    try:
        distribution = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            f"{data_set} reads files of the package {package}, which is not installed: install Ikelos with the extra "
            "`pipelines`, in a clone by: pip install '.[pipelines]'"
        ) from None
    found = {}
    for line in checksums.read_text(encoding="utf-8").splitlines():
        checksum, name = line.split()
        path = pathlib.Path(str(distribution.locate_file(pathlib.PurePath(folder, name))))
        content = path.read_bytes() if path.is_file() else None
        if content is None or hashlib.sha256(content).hexdigest() != checksum:
            fault = "is missing" if content is None else "has another SHA-256 than expected"
            raise UserError(
                f"{data_set}: {path} {fault} (expected {package} {versions}; installed: {distribution.version})"
            )
        found[path.stem] = content
    return dict(sorted(found.items()))
