import pytest

from ikelos.pipelines import recipe as recipes
from ikelos.pipelines import task as tasks
from ikelos.pipelines.data import known, sources
from ikelos.pipelines.data.config import Patterns, Source, Splits

OWN = Splits(train="train", validation="validation", test="test")
FILES = Source(files=Patterns(train=("a.txt",), validation=("b.txt",), test=("c.txt",)))
LETTERS = "data.source.tfds=font_letters"
OTHER_SPLITS = "data.source.splits={train: 'train[:50%]', validation: validation, test: 'train[50%:]'}"


def test_a_data_set_of_our_own_is_known_whatever_its_version():
    assert known.of(Source(tfds="shakespeare_plays:1.0.0", splits=OWN)).prompts
    for name in sources.available():
        assert isinstance(known.of(Source(tfds=name, splits=OWN)), known.Known)


@pytest.mark.parametrize(
    "source",
    [
        FILES,
        Source(files="texts", splits={"validation": 0.1, "test": 0.1}),
        Source(tfds="shakespeare_plays", splits=OWN.model_copy(update={"test": "train[:1%]"})),
        Source(tfds="shakespeare", splits=OWN),
        Source(tfds="mnist", splits=OWN),
    ],
)
def test_of_other_data_nothing_is_known(source):
    assert known.of(source) == known.Known()


@pytest.mark.parametrize(
    ("recipe", "overrides", "peers"),
    [
        ("language_modeling", [], 4),
        ("language_modeling", ["data.vocabulary={kind: bpe, size: 500}"], 4),
        ("language_modeling", ["data.source={files: {train: [a.txt], validation: [b.txt], test: [c.txt]}}"], 0),
        ("language_modeling", [OTHER_SPLITS], 0),
        ("image_generation_vae", [], 2),
        ("image_generation_vae", ["data.shape=[32, 32, 1]"], 0),
        ("image_generation_vae", [LETTERS], 0),
        ("image_generation_vae", [LETTERS, "evaluation.peers=[{name: mine, value: 1.0, minutes: null}]"], 1),
        ("image_generation_vae", ["evaluation.peers=[]"], 0),
        ("image_generation_gan", [], 0),
    ],
)
def test_peers_are_of_the_recipes_data_or_its_own(recipe, overrides, peers):
    assert len(tasks.of_recipe(recipes.load(recipe, overrides)).peers) == peers
