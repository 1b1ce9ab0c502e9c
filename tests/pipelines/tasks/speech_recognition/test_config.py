import pytest

from ikelos.pipelines import recipe as recipes
from ikelos.pipelines.errors import UserError


@pytest.mark.parametrize(
    ("override", "error"),
    [
        ("data.text_buckets=[16, 32]", r"the last of `data\.text_buckets` must be language_model\.context=160"),
        ("model.fft_length=128", r"`model\.fft_length` must be at least model\.sequence_length=200"),
        ("training.jit_compile=true", r"`training\.jit_compile` must be false: XLA cannot compile the CTC loss"),
        ("data.buckets=[]", r"`buckets` must be ascending, at least one"),
        ("data.buckets=[2.0, 1.0]", r"`buckets` must be ascending, at least one"),
        (
            "data.emphasis=[{group: a, times: 2, joined: 0}, {group: a, times: 3, joined: 0}]",
            r"`emphasis` must have groups that differ",
        ),
        ("data.sampling_rate=3999", r"data\.sampling_rate"),
        ("model.num_mel_bins=200", r"`model\.num_mel_bins` must be so small that each band has a point"),
    ],
)
def test_sections_fit_together(override, error):
    with pytest.raises(UserError, match=error):
        recipes.load("speech_recognition", [override])
