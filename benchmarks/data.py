"""Data larger than memory: the cost of training on it, compared with training on the same data in memory.

`python benchmarks/data.py` generates texts and images, prepares them, and trains the models of two recipes on them. It
prints

- how much anonymous memory (RssAnon + RssShmem) training on mapped data takes, beyond training on a thousandth of it;
- the share of the time that training waits for data;
- how long a step takes, compared with a step on a copy in memory, in turns in one process.

`--memory-limit` also measures the first two in a control group with so many bytes of memory. It needs root, and control
groups of version 1. `--gigabytes 0.01 --steps 3` is a short trial.
"""

import argparse
import json
import math
import mmap
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time

import numpy as np

GROUPS = pathlib.Path("/sys/fs/cgroup/memory")
KINDS = ("texts", "images")
FILES = 40
SMALL = {
    "texts": [
        "model.num_layers=1",
        "model.size=32",
        "model.num_heads=2",
        "model.hidden_size=32",
        "training.batch_size=2",
    ],
    "images": [
        "model.width=2",
        "model.num_blocks=0",
        "model.hidden_size=8",
        "training.batch_size=2",
        "evaluation.mixture_components=2",
    ],
}
"""Overrides of the recipes with `--smoke`."""
HELD_OUT = 1e6
"""Bytes of the validation data, and of the test data."""
BLOCK = 10
"""Steps in a row on mapped data or in memory, before it is the other's turn."""


def make_texts(folder, gigabytes):
    """Writes text files with lines of random words, which are drawn by Zipf's law."""
    rng = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfw"))
    words = ["".join(rng.choice(letters, 1 + int(rng.integers(8)))) for _ in range(20_000)]
    ranks = 1 / np.arange(1, len(words) + 1)
    for split, size in (("train", gigabytes * 1e9), ("validation", HELD_OUT), ("test", HELD_OUT)):
        number = FILES if split == "train" else 1
        for index in range(number):
            with open(folder / f"{split}-{index:02}.txt", "w") as file:
                while file.tell() < size / number:
                    file.write(" ".join(words[i] for i in rng.choice(len(words), 5_000, p=ranks / ranks.sum())) + "\n")


def make_images(folder, gigabytes):
    """Writes TFRecords with PNG files of coloured blobs, 64 x 64."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    fields = rng.integers(0, 256, [64, 8, 8, 3]).astype(np.float32)
    large = tf.cast(tf.image.resize(fields, [96, 96], method="bicubic"), tf.uint8).numpy()
    for split, size in (("train", gigabytes * 1e9), ("validation", HELD_OUT), ("test", HELD_OUT)):
        number = FILES if split == "train" else 1
        for index in range(number):
            with tf.io.TFRecordWriter(str(folder / f"{split}-{index:02}.tfrecord")) as writer:
                for _ in range(math.ceil(size / number / (64 * 64 * 3))):
                    top, left, which = *rng.integers(0, 32, 2), rng.integers(len(large))
                    png = tf.io.encode_png(large[which, top : top + 64, left : left + 64], compression=1).numpy()
                    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[png]))
                    example = tf.train.Example(features=tf.train.Features(feature={"image": feature}))
                    writer.write(example.SerializeToString())


def recipe_of(kind, folder, smoke):
    from ikelos.pipelines import recipe

    suffix, label = ("txt", {}) if kind == "texts" else ("tfrecord", {"label_feature": None})
    patterns = {split: [f"{folder}/{split}-*.{suffix}"] for split in ("train", "validation", "test")}
    overrides = [f"data.source={json.dumps({'files': patterns, **label})}"]
    overrides += ["data.shape=[64, 64, 3]"] if kind == "images" else []
    overrides += SMALL[kind] if smoke else []
    return recipe.load("language_modeling" if kind == "texts" else "image_generation_vae", overrides)


def memory():
    """Returns the sum of RssAnon and RssShmem of this process in bytes."""
    status = pathlib.Path("/proc/self/status").read_text()
    return sum(1024 * int(re.search(rf"{name}:\s+(\d+)", status)[1]) for name in ("RssAnon", "RssShmem"))


def started(kind, folder, smoke, in_memory):
    """Returns the compiled first stage's model and its training data: mapped, and with `in_memory` also copied."""
    import keras

    from ikelos.pipelines import task
    from ikelos.pipelines.data import order, preparation
    from ikelos.pipelines.training import optimizers
    from ikelos.pipelines.training.stage import keras_batches

    of_recipe = task.of_recipe(recipe_of(kind, folder, smoke))
    prepared = preparation.prepare(of_recipe.preparation())
    stage = of_recipe.stages(prepared.learned)[0]
    keras.utils.set_random_seed(0)
    model = stage.build({})
    optimizers.compile_model(model, optimizers.build(stage.training, model), stage.loss, jit_compile=False)
    model.make_train_function()
    feeds = [stage.feed(prepared.splits, {})]
    if in_memory:
        feeds.append(stage.feed({name: Copied(split) for name, split in prepared.splits.items()}, {}))
    return model, [keras_batches(feed.train(0, order.WHOLE)) for feed in feeds]


class Copied:
    """A store whose columns are copied into memory."""

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)

    def __len__(self):
        return len(self._store)

    def array(self, name):
        """Returns a copy of a column."""
        return in_memory(self._store.array(name))

    def ragged(self, name):
        """Returns a copy of a ragged column."""
        from ikelos.pipelines.data.store import Ragged

        ragged = self._store.ragged(name)
        return Ragged(in_memory(ragged.values), in_memory(ragged.ends))


def in_memory(values):
    """Returns a copy in anonymous memory, which TensorFlow shares as it shares a mapped file."""
    copy = np.ndarray(values.shape, values.dtype, buffer=mmap.mmap(-1, max(values.nbytes, 1)))
    copy[...] = values
    return copy


def train(model, batches, steps):
    """Trains some steps and returns the seconds of each step, and the seconds that it waited for its batch."""
    taken, waited = [], []
    for _ in range(steps):
        start = time.perf_counter()
        batch = next(batches)
        got = time.perf_counter()
        model.train_function(iter([batch]))
        taken.append(time.perf_counter() - start)
        waited.append(got - start)
    return taken, waited


def measure_memory(kind, folder, steps, smoke):
    """Measures the peak anonymous memory of training on mapped data, and the share of time that it waits for data."""
    model, (data,) = started(kind, folder, smoke, in_memory=False)
    batches, highest, ended = iter(data), [memory()], threading.Event()

    def watch():
        while not ended.wait(0.05):
            highest[0] = max(highest[0], memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    train(model, batches, 5)  # traces, and fills the queues
    taken, waited = train(model, batches, steps)
    ended.set()
    watcher.join()
    return {"bytes": highest[0], "waiting": sum(waited) / sum(taken), "seconds": statistics.median(taken)}


def measure_ratio(kind, folder, steps, smoke):
    """Measures steps on mapped data and on a copy in memory, in turns."""
    model, data = started(kind, folder, smoke, in_memory=True)
    iterators = [iter(part) for part in data]
    for batches in iterators:
        train(model, batches, 5)
    taken = [[], []]
    for _ in range(max(steps // BLOCK, 1)):
        for times, batches in zip(taken, iterators, strict=True):
            times += train(model, batches, BLOCK)[0]
    mapped, copied = map(statistics.median, taken)
    return {"mapped": mapped, "in_memory": copied, "ratio": mapped / copied}


def measure_preparation(kind, folder, steps, smoke):
    """Prepares the data and returns the facts of its stores."""
    from ikelos.pipelines import task
    from ikelos.pipelines.data import preparation

    prepared = preparation.prepare(task.of_recipe(recipe_of(kind, folder, smoke)).preparation())
    return {name: split.facts() for name, split in prepared.splits.items()}


MEASURED = {"preparation": measure_preparation, "memory": measure_memory, "ratio": measure_ratio}


def child(what, kind, folder, steps, smoke, limit=None):
    """Runs a measurement in a fresh process and returns its result.

    With `limit`, the process runs in a control group with so many bytes of memory.
    """
    command = [sys.executable, __file__, "--child", what, "--kind", kind, "--folder", folder, "--steps", str(steps)]
    command += ["--smoke"] if smoke else []
    group = GROUPS / "ikelos-benchmark"

    def enter():
        (group / "cgroup.procs").write_text(str(os.getpid()))

    if limit:
        group.mkdir(exist_ok=True)
        (group / "memory.limit_in_bytes").write_text(str(limit))
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=enter if limit else None)
    if limit:
        group.rmdir()
    if done.returncode:
        raise RuntimeError(f"{what} of {kind} ended with status {done.returncode}:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=4.0, help="size of the texts in UTF-8, and of the pixels")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument(
        "--folder", default="/tmp/ikelos-benchmark-data", help="folder for the data, kept for the next run"
    )
    parser.add_argument("--memory-limit", type=int, help="bytes of memory of a control group")
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--child", choices=MEASURED, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    smoke = arguments.smoke
    gigabytes, steps = (0.004, 2 * BLOCK) if smoke else (arguments.gigabytes, arguments.steps)
    if arguments.child:
        (kind,) = arguments.kind
        print(json.dumps(MEASURED[arguments.child](kind, arguments.folder, arguments.steps, smoke)))
        return
    root = pathlib.Path(arguments.folder)
    os.environ.setdefault("IKELOS_CACHE", str(root / "cache"))
    for kind in arguments.kind or KINDS:
        make = make_texts if kind == "texts" else make_images
        folders = {size: root / f"{kind}-{size:g}" for size in (gigabytes, gigabytes / 1000)}
        for size, folder in folders.items():
            if not folder.exists():
                unfinished = folder.with_suffix(".unfinished")
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir(parents=True)
                make(unfinished, size)
                unfinished.rename(folder)
        large, small = map(str, folders.values())
        start = time.monotonic()
        facts = child("preparation", kind, large, steps, smoke)
        seconds = time.monotonic() - start
        child("preparation", kind, small, steps, smoke)
        print(f"{kind}: {facts['train']['bytes'] / 1e9:.2f} GB of {facts['train']['examples']:,} examples")
        print(f"  prepared in {seconds:.0f} s, or checked if it was prepared before")
        least = child("memory", kind, small, steps, smoke)
        for limit in (None, arguments.memory_limit)[: 2 if arguments.memory_limit else 1]:
            found = child("memory", kind, large, steps, smoke, limit)
            print(
                f"  {'' if limit is None else f'in a control group of {limit / 1e9:.1f} GB: '}"
                f"{(found['bytes'] - least['bytes']) / 1e9:.3f} GB of anonymous memory more than the "
                f"{least['bytes'] / 1e9:.2f} GB on a thousandth of the data; a step takes "
                f"{1e3 * found['seconds']:.1f} ms, {found['waiting']:.2%} of it waiting for data"
            )
        ratio = child("ratio", kind, large, steps, smoke)
        print(
            f"  a step takes {1e3 * ratio['mapped']:.1f} ms on mapped data, {1e3 * ratio['in_memory']:.1f} ms in "
            f"memory: ratio {ratio['ratio']:.3f}"
        )


if __name__ == "__main__":
    main()
