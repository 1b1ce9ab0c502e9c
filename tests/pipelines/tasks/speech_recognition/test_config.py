import pytest

from ikelos.pipelines import recipe as recipes
from ikelos.pipelines.errors import UserError


@pytest.mark.parametrize(
    ("override", "error"),
    [
        ("data.text_buckets=[16, 32]", r"the last of `data\.text_buckets` must be language_model\.context=160"),
        ("model.fft_length=128", r"`model\.fft_length` must be at least model\.sequence_length=200"),
        ("training.jit_compile=true", r"`training\.jit_compile` must be false: XLA cannot compile the CTC loss"),
    ],
)
def test_sections_fit_together(override, error):
    with pytest.raises(UserError, match=error):
        recipes.load("speech_recognition", [override])
