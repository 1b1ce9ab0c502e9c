"""`models.config`: TensorFlow Serving's `ModelServerConfig` as text, which a server reads again when it changes.

What the file says beyond version policies and labels, such as logging, survives a change.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf import text_format

from ikelos.serving.deploy.served import Served
from ikelos.serving.protocol import messages

FILE = "models.config"
FOLDER = "/models"
"""Folder in the containers with one base path for each model."""
_COMMENT = re.compile(r"""[^"'#]*(?:"(?:\\.|[^"\\])*"[^"'#]*|'(?:\\.|[^'\\])*'[^"'#]*)*#""")


@dataclasses.dataclass(frozen=True)
class Release:
    """What a server loads and labels of one model.

    Attributes:
        versions: The versions that are loaded, in increasing order; empty if the policy names none.
        labels: The version of each label.
    """

    versions: tuple[int, ...]
    labels: Mapping[str, int]


def following(models: Iterable[Served], versions: int) -> str:
    """Returns the text of a `models.config` with which a server loads the newest versions of each model."""
    config = messages.ModelServerConfig()
    for model in models:
        entry = config.model_config_list.config.add(
            name=model.name, base_path=f"{FOLDER}/{model.name}", model_platform="tensorflow"
        )
        entry.model_version_policy.latest.num_versions = versions
    return text_format.MessageToString(config)


def read(text: str, model: str) -> Release:
    """Returns what a `models.config` says about one model.

    Raises:
        ValueError: If TensorFlow Serving would not read the text, it has a comment, which a change would lose, or not
            exactly one model of this name.
    """
    entry = _entry(_parse(text), model)
    return Release(tuple(sorted(entry.model_version_policy.specific.versions)), dict(entry.version_labels))


def changed(text: str, model: str, release: Release) -> str:
    """Returns the text with other versions and labels of one model, and all else as it was.

    Raises:
        ValueError: As in `read`.
    """
    config = _parse(text)
    entry = _entry(config, model)
    entry.model_version_policy.specific.versions[:] = release.versions
    entry.version_labels.clear()
    entry.version_labels.update(release.labels)
    return text_format.MessageToString(config)


def _parse(text: str) -> Any:
    for number, line in enumerate(text.splitlines(), start=1):
        if _COMMENT.match(line):
            raise ValueError(f"{FILE} must have no comments, as they would be lost. Received: line {number}: {line}")
    try:
        return text_format.Parse(text, messages.ModelServerConfig(), descriptor_pool=messages.POOL)
    except text_format.ParseError as error:
        raise ValueError(f"{FILE} must be a ModelServerConfig of TensorFlow Serving. Received: {error}") from None


def _entry(config: Any, model: str) -> Any:
    entries = [entry for entry in config.model_config_list.config if entry.name == model]
    if len(entries) != 1:
        names = ", ".join(entry.name for entry in config.model_config_list.config)
        raise ValueError(f"`model` must be one of the models of {FILE}, {names}. Received: model={model!r}")
    return entries[0]
