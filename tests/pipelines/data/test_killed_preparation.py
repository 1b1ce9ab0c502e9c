"""Checks that `ikelos data`, killed at any moment and started again, writes the bytes of an uninterrupted run."""

import random
import signal
import subprocess
import sys
import time

import pytest

from ikelos.pipelines import recipe as recipes

KILLS = 4
# Small parts and pieces, so that most kills come in the middle of one.
SCRIPT = """
import sys
from ikelos.pipelines.cli import main
from ikelos.pipelines.data import writing
from ikelos.pipelines.text import documents
writing.PART_BYTES, documents.PIECE_BYTES = 20_000, 5_000
sys.exit(main())
"""


def begin(recipe, cache, monkeypatch):
    monkeypatch.setenv("IKELOS_CACHE", str(cache))
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "data", recipe], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def content(cache):
    # A kill after the manifest was written may leave a journal behind.
    left = ("lock", "journal.jsonl")
    paths = [path for path in (cache / "data").rglob("*") if path.is_file() and path.name not in left]
    return {str(path.relative_to(cache)): path.read_bytes() for path in paths}


@pytest.mark.slow
def test_kills_from_start_to_end_change_nothing(tiny, tmp_path, monkeypatch):
    tiny()
    lines = "".join(f"{'the cat sat on the mat. ' * (index % 5)}line {index}\n" for index in range(60_000))
    (tmp_path / "data" / "train.txt").write_text(lines)
    for index in range(300):
        (tmp_path / "data" / f"train {index:03}.txt").write_text(lines[index : 37 * index])
    files = f"data.source.files.train=['{tmp_path}/data/train*.txt']"
    recipe = tmp_path / "many.yaml"
    recipe.write_text(recipes.dump(recipes.load(tmp_path / "tiny.yaml", [files])))

    start = time.monotonic()
    process = begin(recipe, tmp_path / "whole", monkeypatch)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    length = time.monotonic() - start
    whole = content(tmp_path / "whole")
    generator, killed = random.Random(0), 0
    for number in range(KILLS):
        cache = tmp_path / f"cache {number}"
        while True:
            process = begin(recipe, cache, monkeypatch)
            try:
                # About from the moment at which its imports are done, each time in the same cache.
                process.wait(length * (0.3 + 0.7 * generator.random()))
            except subprocess.TimeoutExpired:
                process.kill()
                killed += 1
            output = process.communicate()[0]
            assert process.returncode in (0, -signal.SIGKILL), output
            if process.returncode == 0:
                break
        assert content(cache) == whole
    assert killed >= KILLS / 2
