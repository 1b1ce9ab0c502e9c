import pytest

from ikelos.pipelines.errors import UserError


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.shape=[8, 6, 1]"], r"multiples of 4.*\[8, 6, 1\]"),
        (["data.shape=[8, 8, 2]"], "data.shape"),
        (["model.conditional=true", "model.prior={kind: vamp, num_components: 3}"], "pseudo-inputs have no class"),
        (["model.conditional=true", "data.source.label_feature=null"], "label_feature"),
        (["model.num_samples=2", "model.free_bits=1.0"], "num_samples=2, free_bits=1.0"),
        (["model.prior={kind: normal, num_components: 3}"], "num_components"),
        (["evaluation.mixture_components=41"], "at most mixture_images=40. Received: mixture_components=41"),
    ],
)
def test_recipes_that_cannot_run_are_refused(tiny, overrides, message):
    with pytest.raises(UserError, match=message):
        tiny(*overrides)
