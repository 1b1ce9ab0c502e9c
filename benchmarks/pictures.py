"""Writes the pictures of a run as PNG files, such as those of the guides.

    python benchmarks/pictures.py RUN FOLDER [--prefix PREFIX] [--dpi DPI]

Draws the charts with which the report of a run begins, from its figures and training records, and writes each to
FOLDER/PREFIX_HEADING.png. Only for tasks whose charts need neither data nor models, such as sequence_dynamics.
"""

import argparse
import io
import os
import pathlib
import re

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from PIL import Image

from ikelos import pipelines
from ikelos.pipelines.report.sections import Picture
from ikelos.pipelines.task import Finished
from ikelos.pipelines.training import history

COLOURS = 64
"""Colours of a file; charts have few, and the file becomes a third as large."""


def write(run, folder: pathlib.Path, prefix: str, dpi: int) -> list[pathlib.Path]:
    """Writes the pictures of a loaded run and returns their paths."""
    stages = {stage.name: run.folder.stage(stage.name) for stage in run.task.stages(run.preprocessing)}
    histories = {name: history.read(path / "history.jsonl") for name, path in stages.items()}
    finished = Finished(run.preprocessing, {}, {}, run.figures, histories, stages)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for section in run.task.showcase(finished):
        if not isinstance(section, Picture):
            continue
        buffer = io.BytesIO()
        section.figure.savefig(buffer, dpi=dpi, facecolor="white")
        name = re.sub(r"\W+", "_", section.heading.lower())
        paths.append(folder / f"{prefix}_{name}.png")
        Image.open(buffer).convert("RGB").quantize(COLOURS).save(paths[-1], optimize=True)
    return paths


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--prefix", default="picture")
    parser.add_argument("--dpi", type=int, default=110)
    options = parser.parse_args()
    for path in write(pipelines.load(options.run), options.folder, options.prefix, options.dpi):
        print(f"{path}  {path.stat().st_size / 1000:.1f} kB")


if __name__ == "__main__":
    main()
