import functools
import json
import pathlib
import shutil
import zipfile

import keras
import numpy as np
import pytest
from PIL import Image

from ikelos.pipelines import recipe as recipes
from ikelos.pipelines import task
from ikelos.pipelines.audio.pcm import wav_file
from ikelos.pipelines.data import preparation
from ikelos.pipelines.data.store import Column, Store
from ikelos.pipelines.data.writing import writing
from ikelos.pipelines.recipe import loading

TOY = pathlib.Path(__file__).parent / "toy"

TEXT = "the cat sat on the mat. the dog sat on the log. " * 30
TEXTS = {"train": TEXT, "validation": TEXT[:500], "test": "the cat sat on the log. é"}
IMAGES = {"train": 24, "validation": 6, "test": 6}
TRAINING = ["training.batch_size=8", "training.checkpoint_every=4", "training.deterministic=true"]
ONE_OPTIMIZER = [
    "training.optimizers.model.kind=adamw",
    "training.optimizers.model.learning_rate=0.01",
    "training.optimizers.model.warmup_steps=2",
    "training.optimizers.model.weight_decay=0.1",
    "training.ema_momentum=0.9",
]
# Overrides that make the toy task even shorter.
SHORT = ["judge.steps=4", "judge.steps_per_epoch=2", "maker.steps=4", "maker.steps_per_epoch=2"]
# Overrides that make a packaged recipe run within seconds and still use all its kinds of parts.
TINY = {
    "language_modeling": [
        *ONE_OPTIMIZER,
        "model={architecture: transformer, context: 16, num_layers: 1, size: 16, num_heads: 2, hidden_size: 24, "
        "dropout: 0.0, ngrams: {order: 3, max_ngrams: 5000, max_tokens: 100000, longest_match: 4}}",
        "training.steps=12",
        "training.steps_per_epoch=6",
        "training.optimizers.model.clip_norm=1.0",
        "evaluation={stride: 8, batch_size: 4, ngram_order: 3, ngram_tokens: 100000, samples: {prompts: ['', 'the '], "
        "length: 12, temperature: 0.8, top_k: 0, top_p: 0.9}, completion: null, "
        "peers: [{name: nobody, value: 3.0, minutes: 1.0}]}",
        "export.max_length=32",
    ],
    "number_translation": [
        *ONE_OPTIMIZER,
        "data.vocabulary={kind: character, size: null}",
        "data.buckets=[8, 20]",
        "model={architecture: transformer, num_layers: 1, size: 16, num_heads: 2, hidden_size: 24, dropout: 0.1}",
        "training.steps=6",
        "training.steps_per_epoch=3",
        "training.optimizers.model.clip_norm=1.0",
        "evaluation={headline: chrf, apart: [], batch_size: 4, num_beams: 2, length_penalty: 0.6, "
        "baseline_pairs: 20, apertium: null, shown: 3, maps: 2, peers: [{name: nobody, value: 30.0, minutes: null}]}",
        "export.max_source=20",
        "export.max_length=20",
    ],
    "dialogue": [
        *ONE_OPTIMIZER,
        *(override.replace("training.", "ranker_training.") for override in (*TRAINING, *ONE_OPTIMIZER)),
        "data.vocabulary={kind: character, size: null}",
        "model={architecture: transformer, context: 24, num_layers: 1, size: 16, num_heads: 2, hidden_size: 24, "
        "dropout: 0.0, ngrams: null}",
        "ranker={size: 16, hidden_size: 24, num_history_sums: 4, max_distance: 8, dropout: 0.1}",
        *(
            f"{section}.{setting}"
            for section in ("training", "ranker_training")
            for setting in ("steps=6", "steps_per_epoch=3", "optimizers.model.clip_norm=1.0")
        ),
        "evaluation={questions: 12, candidates: 3, seed: 0, likelihood_weight: 0.0, likelihood_context: 24, stride: 8, "
        "batch_size: 4, ngram_order: 3, ngram_tokens: 100000, replies: 3, temperature: 0.8, top_p: 0.9, shown: 3, "
        "peers: [{name: nobody, value: 0.5, minutes: 1.0}]}",
        "export.max_length=8",
        "export.num_samples=2",
    ],
    "speech_recognition": [
        *ONE_OPTIMIZER,
        *(override.replace("training.", "language_training.") for override in (*TRAINING, *ONE_OPTIMIZER)),
        "data.buckets=[0.05, 0.1]",
        "data.text_buckets=[8, 16]",
        "data.emphasis=[]",
        "language_model={architecture: lstm, context: 16, num_layers: 1, size: 8, dropout: 0.1}",
        "language_training.steps=4",
        "language_training.steps_per_epoch=2",
        "model={num_layers: 1, size: 8, sequence_length: 32, sequence_stride: 8, fft_length: 128, num_mel_bins: 8, "
        "filters: 2, freq_mask_size: 2, time_mask_share: 0.1, freq_warp: 0.1, time_warp: 0.1, "
        "dropout: 0.1}",
        "training.steps=6",
        "training.steps_per_epoch=3",
        "evaluation={apart: [], batch_size: 8, search: {num_beams: 2, language_model_weight: 0.5, token_bonus: 0.1}, "
        "bootstraps: 20, baseline_recordings: 5, shown: 3, peers: [{name: nobody, value: 30.0, minutes: null}]}",
        "export.max_seconds=0.5",
    ],
    "image_generation_gan": [
        "data.shape=[8, 8, 1]",
        "model.latent_size=3",
        "model.generator_width=2",
        "model.discriminator_width=2",
        "model.max_width=4",
        "model.hidden_size=4",
        "model.r1_interval=2",
        "model.conditional=false",
        "training.steps=6",
        "training.steps_per_epoch=3",
        "training.trouble_patience=0",
        *(f"training.optimizers.{name}.warmup_steps=2" for name in ("generator", "discriminator")),
        "evaluation={images: 12, batch_size: 5, mixture_components: 2, mixture_images: 50, other_run: null, "
        "pictures: 3, peers: [{name: nobody, value: 30.0, minutes: null}]}",
    ],
    "image_generation_vae": [
        *ONE_OPTIMIZER,
        "data.shape=[8, 8, 1]",
        "data.augmentation={rotation: 3.0, zoom: 0.02, shear: 0.0, shift: 0.2}",
        "model={latent_size: 3, width: 2, num_blocks: 1, hidden_size: 8, dropout: 0.1, num_samples: 1, free_bits: 0.0, "
        "prior: {kind: flow, num_couplings: 2, hidden_units: [4]}, conditional: false}",
        "training.steps=6",
        "training.steps_per_epoch=3",
        "training.optimizers.model.clip_norm=100.0",
        "evaluation={num_samples: 5, samples_at_once: 2, batch_size: 5, mixture_components: 2, mixture_images: 40, "
        "pictures: 3, peers: [{name: nobody, value: 30.0, minutes: null}]}",
    ],
}
TINY["translation"] = TINY["translation_long"] = TINY["number_translation"]


TINY["text_completion"] = [
    *TINY["language_modeling"],
    "model.ngrams=null",
    "evaluation.samples.prompts=[]",
    "evaluation.completion={decoding_speed: {lengths: [17], tokens: 2, repeats: 1}, "
    "copies: {texts: 2, length: 20, ngrams: [2, 40], training_tokens: 500}}",
]

_BRIEF = (
    "{steps: 4, batch_size: 8, seed: 0, steps_per_epoch: 4, optimizers: {model: {kind: adamw, learning_rate: 0.01, "
    "warmup_steps: 2, final_learning_rate_ratio: 0.1, weight_decay: 0.0, beta_1: 0.9, beta_2: 0.99, clip_norm: 1.0}}, "
    "ema_momentum: 0.0, early_stop_patience: 0, checkpoint_every: 4, deterministic: true, jit_compile: false, "
    "profile_steps: null}"
)
TINY["sequence_dynamics"] = [
    "problems={symbols: 3, copied: 2, lags: [2, 3], text_length: 6}",
    "model={kinds: [lstm], units: 8, num_layers: 1, num_heads: 2, hidden_size: 8, exploding_gain: 2.0}",
    *(f"{name}={_BRIEF}" for name in ("copying", "adding", "language_modeling", "clipping")),
    "evaluation={headline: lstm, lags: [2, 5], examples: 6, tolerance: 0.04, text_windows: 4, gains: [1.0], "
    "speed: {lengths: [4, 7], batch_size: 2, tokens: 2, repeats: 1}, peers: null}",
]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    """Gives each test an empty cache."""
    monkeypatch.setenv("IKELOS_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def store_of(tmp_path_factory):
    """Makes a store of columns by name: arrays `[N,...]`, or lists of arrays of different lengths."""

    def columns_of(values):
        if isinstance(values, list):
            return Column(values[0].dtype.name, values[0].shape[1:], ragged=True)
        return Column(values.dtype.name, values.shape[1:])

    def make(columns, ids=None):
        folder = tmp_path_factory.mktemp("data") / "split"
        with writing(folder, {name: columns_of(values) for name, values in columns.items()}, lambda _: None) as writer:
            for index, values in enumerate(zip(*columns.values(), strict=True)):
                writer.end(ids[index] if ids else str(index), **dict(zip(columns, values, strict=True)))
            writer.finish()
        return Store.open(folder)

    return make


@pytest.fixture(scope="session")
def toy_data_set(tmp_path_factory):
    """Writes a data set of TensorFlow Datasets, `ikelos_toy`, in a file format; returns the folder for `data_dir`."""
    import tensorflow_datasets as tfds

    class IkelosToy(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.2.0")

        def _info(self):
            label = tfds.features.ClassLabel(names=["cat", "dog"])
            image = tfds.features.Image(shape=(None, None, 1))
            return self.dataset_info_from_configs(
                features=tfds.features.FeaturesDict({"text": tfds.features.Text(), "image": image, "label": label})
            )

        def _split_generators(self, manager):
            return {split: self._generate_examples(split) for split in TEXTS}

        def _generate_examples(self, split):
            for index in range(5 if split == "train" else 2):
                image = np.full([4, 6, 1], 10 * index + len(split), np.uint8)
                yield index, {"text": f"{split} {index}: é\n" * index, "image": image, "label": index % 2}

    @functools.cache
    def write(file_format="tfrecord"):
        folder = str(tmp_path_factory.mktemp("tfds"))
        IkelosToy(data_dir=folder, file_format=file_format).download_and_prepare()
        return folder

    return write


@pytest.fixture(scope="session")
def data_set_of_files(tmp_path_factory):
    """Writes a data set, `ikelos_files`, in a format and into several files; returns the folder for `data_dir`."""
    import tensorflow_datasets as tfds

    class IkelosFiles(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            label = tfds.features.ClassLabel(names=["dark", "light"])
            features = {"image": tfds.features.Image(shape=(8, 8, 1)), "label": label}
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

        def _split_generators(self, manager):
            return {"train": self._generate_examples(25), "test": self._generate_examples(7)}

        def _generate_examples(self, number):
            for index in range(number):
                yield index, {"image": np.full([8, 8, 1], index + number, np.uint8), "label": index % 2}

    @functools.cache
    def write(file_format):
        folder = str(tmp_path_factory.mktemp("tfds"))
        config = tfds.download.DownloadConfig(num_shards=4)
        IkelosFiles(data_dir=folder, file_format=file_format).download_and_prepare(download_config=config)
        return folder

    return write


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Replaces the packaged recipes by those of a toy task, and returns their folder."""
    shutil.copytree(TOY / "recipes", tmp_path / "recipes")
    shutil.copy(TOY / "points.yaml", tmp_path)
    monkeypatch.syspath_prepend(TOY)
    monkeypatch.setattr(loading, "TASKS", "toy_tasks")
    monkeypatch.setattr(loading, "RECIPES", tmp_path / "recipes")
    return tmp_path / "recipes"


@pytest.fixture
def points(toy):
    """Loads the shortened recipe of the toy task `points`, with overrides."""
    return lambda *overrides: recipes.load(toy.parent / "points.yaml", [*SHORT, *overrides])


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Returns the folder of a finished run of the toy task `points`. Tests must not change it."""
    from ikelos.pipelines import runner

    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IKELOS_CACHE", str(folder / "cache"))
        patch.syspath_prepend(TOY)
        patch.setattr(loading, "TASKS", "toy_tasks")
        runner.run(recipes.load(TOY / "points.yaml", SHORT), folder / "run")
    return folder / "run"


@pytest.fixture
def shrunk(tmp_path):
    """Loads a packaged recipe, made so small that it runs within seconds, on the test's files and with overrides."""

    def load(name, *overrides):
        (tmp_path / "data").mkdir(exist_ok=True)
        writer = next((write for part, write in _WRITERS.items() if part in name), write_texts)
        pattern = writer(tmp_path / "data")
        files = {split: [pattern.format(split)] for split in TEXTS}
        small = recipes.load(name, [f"data.source={{files: {files}}}", *_training(name), *TINY[name]])
        path = tmp_path / "tiny.yaml"
        path.write_text(recipes.dump(small))
        return recipes.load(path, overrides)

    return load


@pytest.fixture
def saved():
    """Loads a `.keras` file, whose classes must all be registered by `import ikelos.layers`."""

    def modules(config):
        if isinstance(config, dict):
            yield from [config["module"]] if "module" in config and "class_name" in config else []
            config = list(config.values())
        for value in config if isinstance(config, list) else []:
            yield from modules(value)

    def load(path):
        with zipfile.ZipFile(path) as file:
            found = set(modules(json.loads(file.read("config.json"))))
        assert {name for name in found if name and not name.startswith(("keras", "builtins", "ikelos.layers"))} == set()
        return keras.models.load_model(path)

    return load


@pytest.fixture
def tiny(shrunk):
    """Returns a function that loads the tiny recipe of language modelling."""
    return lambda *overrides: shrunk("language_modeling", *overrides)


@pytest.fixture
def prepared(tiny):
    """Returns the tiny recipe's task, its preprocessing and the stores of its data."""

    def prepare(*overrides):
        tiny_task = task.of_recipe(tiny(*overrides))
        found = preparation.prepare(tiny_task.preparation())
        return tiny_task, found.learned, found.splits

    return prepare


@pytest.fixture
def built(prepared):
    """Returns task, preprocessing, stores and the untrained model of the tiny recipe's first stage."""

    def build(*overrides):
        tiny_task, preprocessing, splits = prepared(*overrides)
        keras.utils.set_random_seed(0)
        return tiny_task, preprocessing, splits, tiny_task.stages(preprocessing)[0].build({})

    return build


def write_texts(folder):
    for split, text in TEXTS.items():
        (folder / f"{split}.txt").write_text(text)
    return f"{folder}/{{}}.txt"


def write_pairs(folder):
    """Writes pairs of words and the same words from right to left."""
    words = TEXT.split()[:12]
    for split in TEXTS:
        lines = [f"{a} {b}\t{b[::-1]} {a[::-1]}" for a in words for b in words if (a < b) == (split == "train")]
        (folder / f"{split}.tsv").write_text("\n".join(lines[:30]))
    return f"{folder}/{{}}.tsv"


def write_conversations(folder):
    """Writes conversations of two people who repeat each other's words."""
    words = TEXT.split()[:12]
    for number, split in enumerate(TEXTS):
        lines = [
            {"turns": [f"{a} {b}", f"{b}?", f"{b} {a} {number}.", f"no, {a}{place}"]}
            for place, (a, b) in enumerate(zip(words, words[number + 1 :], strict=False))
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return f"{folder}/{{}}.jsonl"


def write_recordings(folder):
    """Writes recordings of tones, a pitch for each of two letters, and a table of their texts for each split."""
    draw = np.random.default_rng(0)
    for split, number in {"train": 16, "validation": 5, "test": 6}.items():
        lines = []
        for index in range(number):
            letters = draw.choice(["a", "b"], draw.integers(1, 4))
            tones = [np.sin(np.arange(200) * {"a": 0.3, "b": 1.2}[letter]) for letter in letters]
            samples = np.int16(8000 * np.concatenate(tones) + draw.normal(size=200 * len(letters), scale=20))
            (folder / f"{split}{index}.wav").write_bytes(wav_file(samples, 8000))
            lines.append(f"{split}{index}.wav\t{' '.join(letters)}")
        (folder / f"{split}.tsv").write_text("\n".join(lines))
    return f"{folder}/{{}}.tsv"


def write_images(folder):
    """Writes images of horizontal and vertical bars, 8 x 8."""
    rng = np.random.default_rng(0)
    for split, number in IMAGES.items():
        for label in ("lying", "standing"):
            (folder / split / label).mkdir(parents=True, exist_ok=True)
            for index in range(number):
                image = rng.integers(0, 60, [8, 8]).astype(np.uint8)
                image[index % 8] = 230
                Image.fromarray(image if label == "lying" else image.T).save(folder / split / label / f"{index:02}.png")
    return f"{folder}/{{}}/*/*.png"


def _training(name):
    """Returns the overrides of the section `training`, which not all recipes have."""
    return [] if name == "sequence_dynamics" else TRAINING


_WRITERS = {
    "dialogue": write_conversations,
    "image": write_images,
    "speech": write_recordings,
    "translation": write_pairs,
}
"""Functions that write a task's data, by a part of the recipe's name."""
