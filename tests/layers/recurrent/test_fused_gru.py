import pytest

# Constructors' arguments that GRU alone has.
CONFIGURATIONS = {
    "reset before": {"reset_after": False, "return_sequences": True},
    "reset before, no bias": {"reset_after": False, "use_bias": False, "go_backwards": True},
    "reset before, recurrent dropout": {"reset_after": False, "recurrent_dropout": 0.4, "seed": 5},
}


@pytest.mark.parametrize("arguments", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
@pytest.mark.parametrize("masked", [False, True])
def test_equals_the_stock_layer(arguments, masked, twins, mask):
    twins("gru").check_equal(arguments, mask if masked else None, "op")
