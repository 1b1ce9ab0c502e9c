import types

import numpy as np
import pytest

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.image.generation import ImageGeneration
from ikelos.pipelines.image.preprocessing import ImagePreprocessing


def task(conditional):
    made = ImageGeneration()
    made.config = types.SimpleNamespace(model=types.SimpleNamespace(conditional=conditional))
    return made


def test_a_model_that_is_told_classes_takes_no_others():
    pixels = np.zeros((8, 8, 1), np.uint8)
    cats, dogs = (ImagePreprocessing(names, pixels) for names in (("cat", "cow"), ("cat", "dog")))
    task(True).check_preprocessing(cats, cats)
    task(False).check_preprocessing(dogs, cats)
    with pytest.raises(
        UserError, match=r"must be those that the model was trained with, cat, cow\. Received: cat, dog$"
    ):
        task(True).check_preprocessing(dogs, cats)
