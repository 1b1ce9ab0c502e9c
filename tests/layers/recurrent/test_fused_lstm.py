import pytest

# Constructors' arguments that LSTM alone has.
CONFIGURATIONS = {
    "no forget bias": {"unit_forget_bias": False, "bias_initializer": "ones"},
    "no forget bias, recurrent dropout": {"unit_forget_bias": False, "recurrent_dropout": 0.4, "seed": 5},
}


@pytest.mark.parametrize("arguments", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
@pytest.mark.parametrize("masked", [False, True])
def test_equals_the_stock_layer(arguments, masked, twins, mask):
    twins("lstm").check_equal(arguments, mask if masked else None, "op")
