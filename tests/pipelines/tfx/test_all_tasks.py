"""A pipeline of each task in TFX, on this machine."""

import pytest

from ikelos.serving.damage import check_files

pytestmark = pytest.mark.tfx

BLESSED = "pipeline.blessing={worst: null, better_than_last: true}"


# One recipe of each task. Fast: one each of texts, pairs, images and audio. The pipeline of the VAE is run by
# `test_drifted_labels_stop_the_run` in `test_pipeline.py` too.
@pytest.mark.parametrize(
    "name",
    [
        "language_modeling",
        "translation",
        "image_generation_gan",
        "speech_recognition",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("image_generation_vae", "dialogue", "sequence_dynamics")
        ),
    ],
)
def test_a_second_run_is_all_cache(shrunk, pipeline, name):
    recipe = shrunk(name, BLESSED)
    assert set(pipeline.run(recipe).values()) == {"done"}
    assert pipeline.versions() == ["1"]
    check_files(pipeline.folder / "served" / "1", hashes=True)  # of files that InfraValidator loaded
    assert set(pipeline.run(recipe).values()) == {"cached"}
    assert pipeline.versions() == ["1"]
