import keras
import pytest
import tensorflow as tf

from ikelos.serving import Bound, Signature, export


@pytest.fixture
def unchecked(monkeypatch):
    """Makes the stock check accept everything, without the child process."""
    monkeypatch.setattr("ikelos.serving.check.stock_check", lambda path, **_: {})


@pytest.fixture(scope="session")
def keras_model():
    """Returns a compiled and trained model from words to numbers, which has an optimizer and a table."""
    keras.utils.set_random_seed(1)
    words = keras.Input((), dtype="string", name="words")
    ids = keras.layers.StringLookup(vocabulary=["to", "be", "or", "not"])(words)
    hidden = keras.layers.Embedding(5, 8)(ids)
    outputs = keras.layers.Dense(3, activation="softplus", name="scores")(keras.layers.Dropout(0.5)(hidden))
    model = keras.Model(words, outputs)
    model.compile("adam", "mse", run_eagerly=True)
    model.fit(tf.constant(["to", "be"]), tf.zeros((2, 3)), verbose=0)
    return model


@pytest.fixture(scope="session")
def signatures(keras_model):
    """Returns signatures for a Keras model (`serving_default`), TF Text (`tokens`), strings and numbers (`shout`)."""
    import tensorflow_text

    tokenizer = tensorflow_text.WhitespaceTokenizer()

    def shout(text, times):
        louder = tf.strings.join([tf.strings.upper(text), tf.strings.as_string(times)], "!")
        return {"text": louder, "length": tf.strings.length(louder)}

    text = tf.TensorSpec([None], tf.string)
    return [
        Signature(
            "serving_default",
            lambda words: {"scores": keras_model(words)},
            {"words": text},
            {"words": ["to", "be", "other"]},
            "Scores of single words.",
        ),
        Signature(
            "tokens",
            lambda text: {"tokens": tokenizer.tokenize(text).to_tensor("")},
            {"text": text},
            {"text": ["Who's there?", "Nay, answer me: stand, and unfold yourself."]},
            "Words between white space.",
        ),
        Signature(
            "shout",
            shout,
            {"text": text, "times": tf.TensorSpec([None], tf.int32)},
            {"text": ["héllo", "world"], "times": [1, -2]},
            "Upper case.",
            {"text": Bound(max_bytes=2000), "times": Bound((-1000, 1000))},
        ),
    ]


@pytest.fixture(scope="session")
def version(keras_model, signatures, tmp_path_factory):
    """Returns an exported version with the signatures; a test that changes it must copy it first."""
    return export(tmp_path_factory.mktemp("models"), keras_model, signatures)
