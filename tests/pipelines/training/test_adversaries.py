import pytest

from ikelos.pipelines.training.adversaries import trouble


def record(real, fake, diversity):
    return {
        "validation_real_accuracy": real,
        "validation_fake_accuracy": fake,
        "validation_diversity": diversity,
    }


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ((0.99, 0.99, 0.9), "the discriminator has won: it classifies 99.0% of the validation images and 99.0% of"),
        ((0.99, 0.97, 0.9), None),
        ((0.7, 0.99, 0.9), None),
        ((0.7, 0.7, 0.1), "the generator has collapsed: its samples differ from each other only 0.10 times as much"),
        ((1.0, 1.0, 0.1), "the generator has collapsed"),
        ((0.7, 0.7, 0.25), None),
    ],
)
def test_trouble_is_named_with_what_to_do(figures, words):
    found = trouble(record(*figures))
    assert (found is None) if words is None else (found.startswith(words) and "model.r1" in found)
