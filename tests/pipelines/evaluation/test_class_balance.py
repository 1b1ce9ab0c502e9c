import json

import numpy as np
import pytest

from ikelos.pipelines.evaluation import class_balance


def test_shares_count_classes_that_do_not_occur():
    np.testing.assert_array_equal(class_balance.shares(np.array([2, 0, 0, 2]), 4), [0.5, 0, 0.5, 0])


def test_the_classes_of_samples_beside_those_of_training():
    training = class_balance.shares(np.array([0, 1, 2, 3]), 4)
    found = class_balance.compared(np.array([0, 0, 0, 1]), training, ["a", "b", "c", "d"])
    assert json.loads(json.dumps(found)) == found
    assert found["class_imbalance"] == 0.5  # half of the samples are of a class that is generated too often
    assert found["classes"]["a"] == {"share": 0.75, "training_share": 0.25}
    assert found["classes"]["d"] == {"share": 0.0, "training_share": 0.25}


@pytest.mark.parametrize(("predictions", "expected"), [([0, 1, 1, 1], 0.0), ([2, 2], 1.0)])
def test_the_imbalance_is_0_if_balanced_and_1_with_no_class_in_common(predictions, expected):
    found = class_balance.compared(np.array(predictions), np.array([0.25, 0.75, 0.0]), ["a", "b", "c"])
    assert found["class_imbalance"] == expected


@pytest.mark.parametrize(("labels", "received"), [([0, 3], "from 0 to 3"), ([-1, 0], "from -1 to 0"), ([], "none")])
def test_labels_that_are_none_of_the_classes_are_refused(labels, received):
    with pytest.raises(ValueError, match=f"`labels` must be from 0 to 2. Received: {received}"):
        class_balance.shares(np.array(labels, np.int64), 3)
