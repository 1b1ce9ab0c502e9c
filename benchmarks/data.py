"""Data larger than memory: what training on it costs beside training on the same data in memory.

Makes texts and images, prepares them, and trains the models of two recipes on them: `python benchmarks/data.py`. Says
how much anonymous memory (RssAnon + RssShmem) a training on mapped data takes beyond one on a thousandth of it; how
long a step takes beside one on a copy in memory, the two in turns in one process; and for what share of the time the
training waits for data. With `--memory-limit`, as root where control groups of version 1 are, the first is measured in
a group of so many bytes. `--gigabytes 0.01 --steps 3` is a trial.
"""

import argparse
import gzip
import io
import json
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
BLOCK = 20
"""Steps in a row on one of the two."""


def make_texts(folder, gigabytes):
    """Lines of made words, the frequent ones short: nothing to learn, but to be read, encoded and mapped like any."""
    rng = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfw"))
    words = ["".join(rng.choice(letters, 1 + int(rng.integers(8)))) for _ in range(20_000)]
    ranks = 1 / np.arange(1, len(words) + 1)
    for split, share in (("train", 1.0), ("validation", 1e-5), ("test", 1e-5)):
        number, size = (FILES if split == "train" else 1), int(gigabytes * 1e9 * share)
        for index in range(number):
            with open(folder / f"{split}-{index:02}.txt", "w") as file:
                while file.tell() < size / number:
                    file.write(" ".join(words[i] for i in rng.choice(len(words), 50_000, p=ranks / ranks.sum())) + "\n")


def make_images(folder, gigabytes):
    """Coloured blobs, 64 x 64, as PNG files within TFRecords."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    fields = rng.integers(0, 256, [64, 8, 8, 3]).astype(np.float32)
    large = tf.cast(tf.image.resize(fields, [96, 96], method="bicubic"), tf.uint8).numpy()
    for split, share in (("train", 1.0), ("validation", 1e-5), ("test", 1e-5)):
        number = max(int(gigabytes * 1e9 * share / (64 * 64 * 3)), 100)
        for index in range(FILES if split == "train" else 1):
            with tf.io.TFRecordWriter(str(folder / f"{split}-{index:02}.tfrecord")) as writer:
                for _ in range(number // (FILES if split == "train" else 1)):
                    top, left, which = *rng.integers(0, 32, 2), rng.integers(len(large))
                    png = tf.io.encode_png(large[which, top : top + 64, left : left + 64], compression=1).numpy()
                    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[png]))
                    example = tf.train.Example(features=tf.train.Features(feature={"image": feature}))
                    writer.write(example.SerializeToString())


def recipe_of(kind, folder):
    from ikelos.pipelines import recipe

    suffix = "txt" if kind == "texts" else "tfrecord"
    patterns = {split: [f"{folder}/{split}-*.{suffix}"] for split in ("train", "validation", "test")}
    overrides = [f"data.source={json.dumps({'files': patterns})}"]
    if kind == "images":
        overrides = [
            f"data.source={json.dumps({'files': patterns, 'label_feature': None})}",
            "data.shape=[64, 64, 3]",
            "model.conditional=false",
        ]
    return recipe.load("language_modeling" if kind == "texts" else "image_generation_vae", overrides)
