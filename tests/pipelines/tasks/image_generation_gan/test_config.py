import pytest

from ikelos.pipelines.errors import UserError


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.shape=[8, 7, 1]"], r"must be even.*\[8, 7, 1\]"),
        (["data.shape=[8, 8, 2]"], "data.shape"),
        (["model.conditional=true", "data.source.label_feature=null"], "label_feature"),
        (["model.max_width=1"], "max_width=1"),
        (["training.ema_momentum=0.9"], "averages its generator itself"),
        (["evaluation.images=7"], "evaluation.images"),
    ],
)
def test_recipes_that_cannot_run_are_refused(tiny, overrides, message):
    with pytest.raises(UserError, match=message):
        tiny(*overrides)
