import subprocess
import sys

import pydantic
import pytest

from ikelos.pipelines import recipe
from ikelos.pipelines.errors import UserError

EXPORT = "export:\n  enabled: true\n  weights: float32\n  max_rows: 16\n  warmup_batch_sizes: [1, 8]\n"


def mistake(name_or_path, *overrides):
    with pytest.raises(UserError) as caught:
        recipe.load(name_or_path, overrides)
    return str(caught.value)


@pytest.fixture
def edited(toy):
    """Writes the toy recipe with one text replaced; returns the path of the new file."""

    def edit(old, new):
        text = (toy / "toy.yaml").read_text()
        assert text.count(old) == 1
        path = toy / "edited.yaml"
        path.write_text(text.replace(old, new))
        return str(path)

    return edit


def test_a_name_finds_a_packaged_recipe(toy):
    loaded = recipe.load("toy")
    assert (loaded.name, loaded.task, loaded.source) == ("toy", "greeting", str(toy / "toy.yaml"))
    assert loaded.description == "Greets; one second; 0.5 nats per greeting."
    assert loaded.config.training.optimizers.model.learning_rate == 3e-4
    assert loaded.config.training.optimizers.model.weight_decay == 0.1
    assert loaded.config.data.held_out == ("macbeth", "hamlet")
    assert loaded.config.model.units == 8


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_path_finds_a_file(toy, kind):
    assert recipe.load(kind(toy / "toy_fast.yaml")).config.training.steps == 5


def test_a_config_is_frozen_and_hashable(toy):
    config = recipe.load("toy").config
    assert hash(config) == hash(recipe.load("toy").config)
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        config.training.steps = 3


def test_overrides_are_yaml(toy):
    loaded = recipe.load(
        "toy",
        [
            "training.steps=20",
            "training.optimizers.model.learning_rate=1e-2",
            "training.profile_steps=[3, 5]",
            "training.deterministic=false",
            "data.source=tfds:lm1b",
            "model={kind: attentive, heads: 2}",
        ],
    )
    training = loaded.config.training
    assert (training.steps, training.optimizers.model.learning_rate, training.profile_steps) == (20, 0.01, (3, 5))
    assert training.deterministic is False
    assert loaded.config.data.source == "tfds:lm1b"
    assert loaded.config.model.heads == 2
    assert loaded.raw["training"]["steps"] == 20


def test_the_last_override_of_a_key_wins(toy):
    assert recipe.load("toy", ["training.steps=20", "training.steps=30"]).config.training.steps == 30


# For each: a text in the recipe, its replacement, and the line that names the mistake (FILE stands for the path).
IN_FILE = {
    "unknown key": (
        "      clip_norm: 1.0",
        "      clip_norms: 1.0",
        "FILE:27: unknown key training.optimizers.model.clip_norms; "
        "the nearest valid key is training.optimizers.model.clip_norm",
    ),
    "unknown section": ("data:", "date:", "FILE:5: unknown key date; the nearest valid key is data"),
    "key of another section": (
        "  units: 8",
        "  units: 8\n  batch_size: 8",
        "FILE:12: unknown key model.batch_size; the nearest valid key is training.batch_size",
    ),
    "unknown key like no other": (
        "  enabled: true",
        "  enabled: true\n  zzz: 1",
        "FILE:40: unknown key export.zzz; valid here: enabled, weights, max_rows, warmup_batch_sizes",
    ),
    "missing key": ("      clip_norm: 1.0\n", "", "FILE:19: missing key training.optimizers.model.clip_norm"),
    "missing section": (EXPORT, "", "FILE: missing key export"),
    "missing task": ("task: greeting\n", "", "FILE: missing key task"),
    "missing tag": ("  kind: recurrent\n", "", "FILE:9: missing key model.kind"),
    "key of another member of the union": (
        "  units: 8",
        "  units: 8\n  heads: 2",
        "FILE:12: unknown key model.heads; valid here: kind, units",
    ),
    "wrong tag": (
        "  kind: recurrent",
        "  kind: quantum",
        "FILE:10: model.kind must be one of 'recurrent', 'attentive'. Received: \"quantum\"",
    ),
    "text for an integer": (
        "  batch_size: 4",
        "  batch_size: '4'",
        'FILE:15: training.batch_size must be an integer. Received: "4"',
    ),
    "float for an integer": (
        "  batch_size: 4",
        "  batch_size: 3.7",
        "FILE:15: training.batch_size must be an integer. Received: 3.7",
    ),
    "boolean for an integer": (
        "  batch_size: 4",
        "  batch_size: true",
        "FILE:15: training.batch_size must be an integer. Received: true",
    ),
    "text for a number": (
        "      learning_rate: 3e-4",
        "      learning_rate: fast",
        'FILE:21: training.optimizers.model.learning_rate must be a number. Received: "fast"',
    ),
    "infinity": (
        "      learning_rate: 3e-4",
        "      learning_rate: .inf",
        "FILE:21: training.optimizers.model.learning_rate must be a finite number. Received: Infinity",
    ),
    "YAML 1.1 boolean": (
        "  jit_compile: false",
        "  jit_compile: no",
        'FILE:32: training.jit_compile must be true or false. Received: "no"',
    ),
    "zero clip norm": (
        "      clip_norm: 1.0",
        "      clip_norm: 0",
        "FILE:27: training.optimizers.model.clip_norm must be greater than 0. Received: 0",
    ),
    "momentum of one": (
        "  ema_momentum: 0",
        "  ema_momentum: 1",
        "FILE:28: training.ema_momentum must be less than 1. Received: 1",
    ),
    "negative warm-up": (
        "      warmup_steps: 10",
        "      warmup_steps: -1",
        "FILE:22: training.optimizers.model.warmup_steps must be at least 0. Received: -1",
    ),
    "unknown choice": (
        "      kind: adamw",
        "      kind: sgd",
        "FILE:20: training.optimizers.model.kind must be 'adamw' or 'muon'. Received: \"sgd\"",
    ),
    "value for a section": (
        EXPORT,
        "export: yes\n",
        'FILE:38: export must be a section of keys and values. Received: "yes"',
    ),
    "value for a list": (
        "  held_out: [macbeth, hamlet]",
        "  held_out: macbeth",
        'FILE:7: data.held_out must be a list. Received: "macbeth"',
    ),
    "wrong item of a list": (
        "  held_out: [macbeth, hamlet]",
        "  held_out: [macbeth, 2]",
        "FILE:7: data.held_out.1 must be text. Received: 2",
    ),
    "profile steps out of order": (
        "  profile_steps: null",
        "  profile_steps: [7, 3]",
        "FILE:13: training: `profile_steps` must be a first and a last step, in this order. "
        "Received: profile_steps=[7, 3]",
    ),
    "unknown task": (
        "task: greeting",
        "task: greetings",
        "FILE: task must be one of greeting, points. Received: 'greetings' (did you mean greeting?)",
    ),
    "task is no text": ("task: greeting", "task: 3", "FILE: task must be text. Received: 3"),
    "duplicate key": (
        "  batch_size: 4",
        "  batch_size: 4\n  steps: 4",
        "FILE:16: must be YAML. Received: duplicate key 'steps' (column 3)",
    ),
    "syntax": (
        "[macbeth, hamlet]",
        "[macbeth, hamlet",
        "FILE:9: must be YAML. Received: expected ',' or ']', but got ':' (column 6)",
    ),
}


@pytest.mark.parametrize("case", IN_FILE)
def test_a_mistake_in_the_file_is_one_line(edited, case):
    old, new, line = IN_FILE[case]
    path = edited(old, new)
    assert mistake(path) == line.replace("FILE", path)


IN_OVERRIDE = {
    "training.step=20": "unknown key training.step; the nearest valid key is training.steps",
    "trainng.steps=20": "unknown key trainng.steps; the nearest valid key is training.steps",
    "steps=20": "unknown key steps; the nearest valid key is training.steps",
    "training.steps=many": 'training.steps must be an integer. Received: "many"',
    "training.steps=null": "training.steps must be an integer. Received: null",
    "training.steps=": "missing key training.steps",
    "training= ": "missing key training",
    "task=": "missing key task",
    "task=greetings": "task must be one of greeting, points. Received: 'greetings' (did you mean greeting?)",
    "description=3": "description must be text. Received: 3",
    "a.b.c=1": "unknown key a.b.c; valid here: task, description, from, evaluation, export, pipeline, serving, data, "
    "model, training",
    "training.steps=2147483648": "training.steps must be at most 2147483647. Received: 2147483648",
    "training.stepz=": "unknown key training.stepz; the nearest valid key is training.steps",
    "training.steps=0": "training.steps must be greater than 0. Received: 0",
    "training.steps.x=0": "training.steps is a value, not a section",
    "training.steps=[1": "the value must be YAML. Received: expected ',' or ']', but got '<stream end>' (column 3)",
    "training.profile_steps=[7, 3]": "training: `profile_steps` must be a first and a last step, "
    "in this order. Received: profile_steps=[7, 3]",
    "pipeline.skew={requests: [], limits: [{feature: bytes, distance: 0.1}]}": "pipeline.skew: `requests` must have at "
    "least one item. Received: requests=[]",
    "pipeline.skew={requests: ['*'], limits: []}": "pipeline.skew: `limits` must have at least one item. "
    "Received: limits=[]",
    "pipeline.skew={requests: ['gs://logs/*'], limits: [{feature: bytes, distance: 0.1}]}": "pipeline.skew: `requests` "
    "must be patterns of local files. Received: gs://logs/*",
}


@pytest.mark.parametrize("override", IN_OVERRIDE)
def test_a_mistake_in_an_override_is_one_line(toy, override):
    assert mistake("toy", override) == f"--set {override}: {IN_OVERRIDE[override]}"


@pytest.mark.parametrize("override", ["training.steps", "=3", "training.=3", ""])
def test_what_is_no_override_is_one_line(toy, override):
    expected = f"--set must be KEY=VALUE, such as training.steps=20. Received: {override!r}"
    assert mistake("toy", override) == expected


def test_nothing_behind_the_sign_removes_a_key_or_a_section(toy):
    assert "description" not in recipe.load("toy", ["description="]).raw
    overrides = ["model=", "model.kind=attentive", "model.heads=2", "data.held_out=", "data.held_out=[lear]"]
    loaded = recipe.load("toy", overrides)
    assert loaded.raw["model"] == {"kind": "attentive", "heads": 2}
    assert loaded.config.data.held_out == ("lear",)


def test_what_may_be_left_out_may_be_removed_where_it_is_not():
    given = recipe.load("image_generation_vae", ["data.source.data_dir=", "data.source.files.train="])
    assert given.raw == recipe.load("image_generation_vae").raw


def test_a_section_that_an_override_begins_lacks_its_keys_by_the_override():
    with pytest.raises(UserError) as caught:
        recipe.load("language_modeling", ["data.source.files.train=[a]"])
    assert str(caught.value).splitlines() == [
        f"--set data.source.files.train=[a]: missing key data.source.files.{split}" for split in ("validation", "test")
    ]


def test_an_override_is_told_in_short(toy):
    assert mistake("toy", "training.steps=" + 200 * "x").startswith(
        f"--set training.steps={82 * 'x'}...: training.steps"
    )


def test_a_section_may_take_the_place_of_null():
    overrides = ["data.source={tfds: null, splits: null, files: null}", "data.source.splits.train=a"]
    assert "missing key data.source.splits.validation" in mistake("image_generation_gan", *overrides)


SWITCHES = {
    ("toy", "model.kind=attentive"): "model must have the keys kind, heads. Received: it without heads and with "
    "units. Write all of it: --set 'model={kind: attentive, heads: ...}'",
    ("language_modeling", "model.architecture=lstm"): "model must have the keys architecture, context, num_layers, "
    "size, dropout. Received: it with num_heads, hidden_size, ngrams. Write all of it: "
    "--set 'model={architecture: lstm, context: 512, num_layers: 4, size: 192, dropout: 0.0}'",
    ("image_generation_vae", "model.prior.kind=vamp"): "model.prior must have the keys kind, num_components. Received: "
    "it without num_components and with num_couplings, hidden_units. Write all of it: "
    "--set 'model.prior={kind: vamp, num_components: ...}'",
}


@pytest.mark.parametrize(("name", "override"), SWITCHES)
def test_another_choice_with_the_keys_of_the_old_one_is_one_line(request, name, override):
    if name == "toy":
        request.getfixturevalue("toy")
    assert mistake(name, override) == f"--set {override}: {SWITCHES[name, override]}"


def test_another_choice_with_its_own_keys_is_taken(toy):
    removed = recipe.load("toy", ["model.kind=attentive", "model.units=", "model.heads=3"])
    assert removed.config == recipe.load("toy", ["model={kind: attentive, heads: 3}"]).config


def test_keys_that_are_given_for_another_choice_and_are_none_of_it_have_their_own_lines(toy):
    assert mistake("toy", "model.kind=attentive", "model.heads=0", "model.width=3").splitlines() == [
        "--set model.kind=attentive: model must have the keys kind, heads. Received: it with units. Write all of it: "
        "--set 'model={kind: attentive, heads: 0}'",
        "--set model.heads=0: model.heads must be greater than 0. Received: 0",
        "--set model.width=3: unknown key model.width; valid here: kind, heads",
    ]


def test_a_recipe_is_read_as_it_is(toy):
    assert recipe.text("toy") == (toy / "toy.yaml").read_text()
    (toy / "dos.yaml").write_bytes((toy / "toy.yaml").read_bytes().replace(b"\n", b"\r\n"))
    assert recipe.text(toy / "dos.yaml").count("\r\n") == (toy / "toy.yaml").read_text().count("\n")
    (toy / "bad.yaml").write_text("task: 3")
    with pytest.raises(UserError, match="must be text"):
        recipe.text(toy / "bad.yaml")


def test_a_file_that_cannot_be_read_is_named(toy, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(toy), "read_bytes", refuse)
    assert mistake(f"{toy}/toy.yaml") == f"cannot read {toy}/toy.yaml: Permission denied"


def test_every_mistake_is_told_at_once(edited):
    path = edited("      clip_norm: 1.0\n  ema_momentum: 0\n", "      clip_nrm: 1.0\n")
    assert mistake(path, "training.steps=x").splitlines() == [
        '--set training.steps=x: training.steps must be an integer. Received: "x"',
        f"{path}:27: unknown key training.optimizers.model.clip_nrm; "
        "the nearest valid key is training.optimizers.model.clip_norm",
        f"{path}:13: missing key training.ema_momentum",
    ]


NO_RECIPE = "a recipe must be one of toy, toy_fast, or the path of a YAML file. Received: "


def test_an_unknown_recipe_lists_those_there_are(toy):
    assert mistake("toy_fats") == NO_RECIPE + "'toy_fats' (did you mean toy_fast?)"
    assert mistake("zzz") == NO_RECIPE + "'zzz'"


def test_a_path_that_is_no_recipe_is_named(toy):
    assert (
        mistake("missing/toy.yaml") == "a recipe must be a YAML file. Received: missing/toy.yaml, which does not exist"
    )
    assert mistake(f"{toy}/") == f"a recipe must be a YAML file. Received: {toy}/, a folder"
    (toy / "list.yaml").write_text("- 1\n")
    assert mistake(toy / "list.yaml") == (
        f"{toy}/list.yaml: a recipe must be sections of keys and values. Received: [1]"
    )
    (toy / "latin.yaml").write_bytes("task: ä".encode("latin-1"))
    assert (
        mistake(toy / "latin.yaml")
        == f"{toy}/latin.yaml must be a text file in UTF-8. Received: unexpected end of data"
    )


def test_names_gives_one_line_of_each(toy):
    (toy / "toy_fast.yaml").write_text("task: greeting\ndescription: |\n  Greets\n  fast.\n")
    (toy / "README.md").write_text("no recipe")
    assert recipe.names() == {"toy": "Greets; one second; 0.5 nats per greeting.", "toy_fast": "Greets fast."}


def test_dump_is_read_back(toy):
    loaded = recipe.load("toy", ["training.optimizers.model.learning_rate=1e-05", "data.source='3e-4'"])
    path = toy / "dumped.yaml"
    path.write_text(recipe.dump(loaded))
    again = recipe.load(path)
    assert again.config == loaded.config
    assert recipe.dump(again) == recipe.dump(loaded)


def test_difference_gives_dotted_keys_and_both_values(toy):
    a = recipe.load("toy", ["training.steps=100"])
    b = recipe.load("toy", ["training.steps=7", "data.held_out=[]", "model={kind: attentive, heads: 2}"])
    assert recipe.difference(a, a) == {}
    assert recipe.difference(a, b) == {
        "training.steps": (100, 7),
        "data.held_out": (["macbeth", "hamlet"], []),
        "model.kind": ("recurrent", "attentive"),
        "model.units": (8, recipe.ABSENT),
        "model.heads": (recipe.ABSENT, 2),
    }
    c = recipe.load("toy", ["training.steps=7"])
    assert recipe.difference(a, b, c)["training.steps"] == (100, 7, 7)
    assert recipe.difference(a, c, a) == {"training.steps": (100, 7, 100)}


def test_a_description_is_of_the_file_as_it_stands(toy):
    assert recipe.load("toy", ["training.steps=7"]).description == ""
    assert recipe.load("toy", ["training.steps=7", "description=Mine."]).description == "Mine."


def test_the_run_to_begin_with_is_text_and_comes_back(toy, tmp_path):
    assert recipe.load("toy").start is None
    assert recipe.load("toy", ["from=null"]).start is None
    loaded = recipe.load("toy", ["from=runs/a"])
    (tmp_path / "dumped.yaml").write_text(recipe.dump(loaded))
    assert recipe.load(tmp_path / "dumped.yaml").start == loaded.start == "runs/a"
    assert recipe.difference(recipe.load("toy", ["training.seed=0"]), loaded) == {"from": (recipe.ABSENT, "runs/a")}
    with pytest.raises(UserError, match=r"from must be text\. Received: 3"):
        recipe.load("toy", ["from=3"])


def test_every_packaged_recipe_is_valid_and_described_without_tensorflow():
    script = """
import sys
from ikelos.pipelines import recipe
for name, description in recipe.names().items():
    recipe.load(name)
    assert description, name
assert "tensorflow" not in sys.modules
assert "keras" not in sys.modules
assert "numpy" not in sys.modules
print(*recipe.names())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "language_modeling" in done.stdout.split()
