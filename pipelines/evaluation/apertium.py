"""Translations by Apertium, a rule-based system (Forcada et al. 2011), where it is installed."""

import shutil
import subprocess
from collections.abc import Sequence

from ikelos.pipelines.errors import UserError


def is_installed() -> bool:
    """Returns whether the program is on the PATH."""
    return shutil.which("apertium") is not None


def translate(texts: Sequence[str], direction: str) -> list[str]:
    """Returns the translations of texts without line breaks.

    Args:
        texts: The texts; white space within a text counts as one space.
        direction: Languages, such as `eng-spa`; `apertium -l` lists the installed ones.

    Raises:
        UserError: If Apertium has not this direction, or fails.
    """
    lines = "\n".join(" ".join(text.split()) for text in texts)
    command = ["apertium", "-u", "-f", "line", direction]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
    found = done.stdout.removesuffix("\n").split("\n")
    if done.returncode or len(found) != len(texts):
        reason = (done.stderr.strip().splitlines() or [f"{len(found)} lines for {len(texts)} texts"])[0]
        raise UserError(f"`evaluation.apertium` must be a direction of Apertium. Received: {direction!r}: {reason}")
    return [line.strip() for line in found]
