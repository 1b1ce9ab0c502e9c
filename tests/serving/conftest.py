import keras
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from ikelos.serving import Signature, export

# tensorflow_serving/apis/{prediction_log,predict,model}.proto: message -> [(field, number, type, repeated)]
_MESSAGES = {
    "ModelSpec": [("name", 1, "string", False), ("signature_name", 3, "string", False)],
    "Input": [("key", 1, "string", False), ("value", 2, "bytes", False)],  # an entry of the map
    "PredictRequest": [("model_spec", 1, "ModelSpec", False), ("inputs", 2, "Input", True)],
    "PredictLog": [("request", 1, "PredictRequest", False)],
    "PredictionLog": [("predict_log", 6, "PredictLog", False)],
}


@pytest.fixture(scope="session")
def keras_model():
    """Returns a compiled and trained model from words to numbers, which has an optimizer and a table."""
    keras.utils.set_random_seed(1)
    words = keras.Input((), dtype="string", name="words")
    ids = keras.layers.StringLookup(vocabulary=["to", "be", "or", "not"])(words)
    hidden = keras.layers.Embedding(5, 8)(ids)
    outputs = keras.layers.Dense(3, activation="softplus", name="scores")(keras.layers.Dropout(0.5)(hidden))
    model = keras.Model(words, outputs)
    model.compile("adam", "mse")
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
        ),
    ]


@pytest.fixture(scope="session")
def version(keras_model, signatures, tmp_path_factory):
    """Returns an exported version with the signatures; a test that changes it must copy it first."""
    return export(tmp_path_factory.mktemp("models"), keras_model, signatures)


@pytest.fixture(scope="session")
def prediction_log_class():
    """Returns the class of TensorFlow Serving's message PredictionLog, with the fields of our requests."""
    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="prediction_log_test.proto", package="test", syntax="proto3")
    for message, fields in _MESSAGES.items():
        proto = file.message_type.add(name=message)
        for name, number, type_name, repeated in fields:
            field = proto.field.add(
                name=name, number=number, label=kind.LABEL_REPEATED if repeated else kind.LABEL_OPTIONAL
            )
            if type_name in _MESSAGES:
                field.type, field.type_name = kind.TYPE_MESSAGE, f".test.{type_name}"
            else:
                field.type = {"string": kind.TYPE_STRING, "bytes": kind.TYPE_BYTES}[type_name]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("test.PredictionLog"))
