import numpy as np

from ikelos.pipelines.image.preprocessing import ImagePreprocessing


def test_names_and_example_come_back(bars, tmp_path):
    ImagePreprocessing.of(bars).save(tmp_path)
    again = ImagePreprocessing.load(tmp_path)
    assert again.class_names == ("lying", "standing")
    np.testing.assert_array_equal(again.example, bars.pixels[0])
