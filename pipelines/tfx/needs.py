"""Checks that TFX can be imported, without importing it."""

import importlib.util
import os

from ikelos.pipelines.errors import UserError

_OLDEST_GLIBC = (2, 39)
"""ml-metadata 1.21 and TFDV 1.21 are built for it: Debian 13, Ubuntu 24.04 and later systems have it."""


def check() -> None:
    """Checks that TFX is installed and that the system can load it.

    Raises:
        UserError: If not.
    """
    found = os.confstr("CS_GNU_LIBC_VERSION") or "another C library"
    numbers = tuple(int(part) for part in found.split()[-1].split(".")[:2] if part.isdecimal())
    if not found.startswith("glibc") or numbers < _OLDEST_GLIBC:
        raise UserError(
            "TFX must have glibc 2.39 or later, as Debian 13 and Ubuntu 24.04 have, in a container if need be "
            f"(docs/pipelines.md). Received: {found}"
        )
    if importlib.util.find_spec("tfx") is None:
        raise UserError("Pipelines need TFX: pip install 'ikelos[tfx]'")
