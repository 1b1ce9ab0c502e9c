import numpy as np

from ikelos.pipelines.text import encoding
from ikelos.pipelines.text.config import Vocabulary
from ikelos.pipelines.text.documents import Documents
from ikelos.pipelines.text.encoding import TextPreprocessing
from ikelos.pipelines.text.vocabulary.special import END, SPECIAL, UNKNOWN

SPLITS = {"train": Documents(["a", "b"], ["abc", "b"]), "test": Documents(["c"], ["c\u00e9"])}


def test_the_vocabulary_knows_training_text_alone_and_comes_back(tmp_path):
    words = TextPreprocessing.fit(Vocabulary(kind="character", size=None), SPLITS["train"].texts)
    words.save(tmp_path)
    for learned in (words, TextPreprocessing.load(tmp_path)):
        tokens = encoding.encode(learned.vocabulary, SPLITS)
        assert [list(document) for document in tokens["train"].tokens] == [
            [SPECIAL, SPECIAL + 1, SPECIAL + 2, END],
            [SPECIAL + 1, END],
        ]
        assert list(tokens["test"].tokens[0]) == [SPECIAL + 2, UNKNOWN, END]
        assert tokens["test"].tokens[0].dtype == np.int32
        assert (tokens["train"].characters, tokens["test"].ids) == ([3, 1], ["c"])
