"""A pipeline of each task in TFX, on this machine."""

import pytest

from ikelos.serving.damage import check_files

pytestmark = pytest.mark.tfx

BLESSED = "pipeline.blessing={worst: null, better_than_last: true}"


# One recipe of each task. `test_drifted_labels_stop_the_run` in `test_pipeline.py` runs the pipeline of the VAE too.
@pytest.mark.parametrize(
    "name",
    [
        "language_modeling",
        "translation",
        "image_generation_gan",
        "speech_recognition",
        "dialogue",
        "sequence_dynamics",
        pytest.param("image_generation_vae", marks=pytest.mark.slow),
    ],
)
def test_a_second_run_is_all_cache(shrunk, pipeline, name):
    recipe = shrunk(name, BLESSED)
    assert set(pipeline.run(recipe).values()) == {"done"}
    assert pipeline.versions() == ["1"]
    check_files(pipeline.folder / "served" / "1", hashes=True)  # of files that InfraValidator loaded
    assert set(pipeline.run(recipe).values()) == {"cached"}
    assert pipeline.versions() == ["1"]
