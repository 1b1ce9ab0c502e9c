import re

import pytest

from ikelos.pipelines import recipe as recipes
from ikelos.pipelines.errors import UserError


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("data.vocabulary.kind=bpe", "`size` must be given for kind=bpe"),
        ("data.batching=bucketed", "`buckets` must be given with batching=bucketed"),
        ("evaluation.stride=200", "`evaluation.stride` must be at most model.context=16"),
        ("model.num_heads=3", "`model.size` must be a multiple of twice `model.num_heads`"),
        ("model.num_head=3", "num_heads"),
        ("model.architecture=mamba", "mamba"),
    ],
)
def test_a_recipe_that_does_not_fit_together_is_refused(tiny, override, says):
    with pytest.raises(UserError, match=re.escape(says)):
        tiny(override)


def test_the_last_bucket_is_the_context(tiny):
    with pytest.raises(UserError, match=r"the last of `data\.buckets` must be model\.context=16"):
        tiny("data.batching=bucketed", "data.buckets=[4, 8]")


def test_the_recipe_that_ships_is_valid():
    assert recipes.load("language_modeling").task == "language_modeling"
