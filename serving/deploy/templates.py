"""The templates of deployments, which are data in `tfx_configs/serving/`."""

import importlib.resources
from typing import Any

ROOT = importlib.resources.files("ikelos") / "tfx_configs" / "serving"


def text(path: str) -> str:
    """Returns the text of a file that needs no values."""
    return ROOT.joinpath(path).read_text(encoding="utf-8")


def fill(path: str, **values: Any) -> str:
    """Returns the text of a template, `path.jinja`, with its values filled in."""
    # Here, because `ikelos --help` does not need it.
    import jinja2

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    return environment.from_string(text(f"{path}.jinja")).render(values)
