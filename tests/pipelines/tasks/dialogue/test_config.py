import pytest

from ikelos.pipelines import recipe as recipes
from ikelos.pipelines.errors import UserError


@pytest.mark.parametrize(
    ("override", "error"),
    [
        ("evaluation.stride=300", r"`evaluation\.stride` must be at most model\.context=256"),
        ("evaluation.likelihood_context=300", r"`evaluation\.likelihood_context` must be at most model\.context=256"),
        ("model.context=7", r"`model\.context` must be at least 8\. Received: model\.context=7"),
        ("evaluation.likelihood_context=2", r"evaluation\.likelihood_context.*8"),
        ("ranker_training.jit_compile=true", r"`ranker_training\.jit_compile` must be false"),
        ("training.jit_compile=true", r"`training\.jit_compile` must be false with model\.ngrams"),
        ("model.num_heads=3", r"`model\.size` must be a multiple of twice `model\.num_heads`"),
        ("evaluation.candidates=1", r"evaluation\.candidates"),
    ],
)
def test_sections_fit_together(override, error):
    with pytest.raises(UserError, match=error):
        recipes.load("dialogue", [override])
