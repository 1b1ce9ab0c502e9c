import pytest

from ikelos.pipelines import recipe as recipes
from ikelos.pipelines.errors import UserError


@pytest.mark.parametrize(
    ("model", "error"),
    [
        (
            "{architecture: transformer, num_layers: 1, size: 12, num_heads: 4, hidden_size: 8, dropout: 0.0}",
            r"`size` must be a multiple of twice `num_heads` .* Received: size=12, num_heads=4",
        ),
        (
            "{architecture: lstm, num_layers: 1, size: 9, num_heads: 3, dropout: 0.0}",
            r"`size` must be even and a multiple of `num_heads`. Received: size=9, num_heads=3",
        ),
    ],
)
def test_heads_divide_the_size(model, error):
    with pytest.raises(UserError, match=error):
        recipes.load("number_translation", [f"model={model}"])
