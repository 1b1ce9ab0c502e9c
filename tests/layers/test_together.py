"""One model of all layers, through everything that Keras does with a model."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import layers

T, D, Z, WORDS = 6, 8, 4, 11

# Layers that are in no model: tested by themselves, or models of their own.
ELSEWHERE = {
    "KVCache": "a state of decoding",
    "MemoryCache": "a state of decoding",
    "FusedLSTMCell": "in test_step_by_step.py, for loops of one's own",
    "FusedGRUCell": "in test_step_by_step.py, for loops of one's own",
    "ActiveUnits": "a metric",
    "PairwiseDiversity": "a metric",
    "NegativeLogLikelihood": "the loss",
    "convert": "a function",
    "AdversarialModel": "a model with its own training",
    "VariationalAutoencoder": "a model with its own training",
    "LSTMLanguageModel": "a model",
    "ReplyRanker": "a model",
    "LSTMSpeechModel": "a model",
    "LSTMTranslationModel": "a model",
    "TransformerLanguageModel": "a model",
    "TransformerTranslationModel": "a model",
    "NgramDistribution": "for language models, and not for XLA",
    "NgramMixture": "for language models, and not for XLA",
    "SuffixCopy": "for language models",
}


def sequence_model(seed=3):
    """Returns a model with every layer, from tokens `[B,T]`, images `[B,8,8,1]` and waveforms `[B,60]` to logits."""
    tokens = keras.Input((T,), dtype="int32", name="tokens")
    images = keras.Input((8, 8, 1), name="images")
    waveform = keras.Input((60,), name="waveform")
    x = keras.layers.Embedding(WORDS, D, mask_zero=True)(tokens)
    x = x + layers.HashedNgramEmbedding(32, D, (2, 3))(tokens)
    x = layers.SinusoidalPositionEmbedding()(x)
    x = layers.LearnedPositionEmbedding(max_length=T)(x)
    x = layers.EncoderBlock(2, 16, normalization="layer", position=layers.RelativePositionBias(2))(x)
    x = layers.EncoderBlock(2, 16, normalize_first=False, activation="gelu", position=layers.AlibiBias(2))(x)
    memory = layers.SelfAttention(2, position=layers.RotaryEmbedding())(x)
    x = layers.DecoderBlock(2, 16, num_key_value_heads=1)(x, memory)
    x = layers.CrossAttention(2)(x, memory)
    x = keras.layers.Bidirectional(layers.FusedLSTM(D // 2, return_sequences=True))(x)
    x = layers.FusedGRU(D, return_sequences=True)(x)
    x = layers.FusedMultiHeadAttention(2, D // 2, dropout=0.1)(x, x, use_causal_mask=True)
    x = layers.FusedGroupedQueryAttention(D // 2, 2, 1)(x, x)
    x = layers.FeedForward(16)(layers.FusedRMSNormalization()(x))
    x = layers.VectorQuantizer(5, D)(x)
    seen = layers.DifferentiableAugmentation(seed=seed)(images)
    heard = layers.LogMelSpectrogram(8000, 20, 10, 32, 3)(waveform)
    # Logarithms of powers are as small as -14, with which training would diverge.
    heard = layers.SpectrogramWarp(0.2, 0.2, seed=seed)(keras.layers.LayerNormalization()(heard))
    heard = layers.SpecAugment(1, 1, 1, 0.5, seed=seed)(heard)
    hidden = keras.layers.Concatenate()([keras.layers.Flatten()(y) for y in (x, seen, heard)])
    hidden = keras.layers.Dense(layers.Normal.params_size(Z), name="parameters")(hidden)
    z = layers.KLDivergence(layers.Normal(Z, seed=seed), layers.RealNVPPrior(Z))(hidden)
    return keras.Model(
        {"tokens": tokens, "images": images, "waveform": waveform},
        {
            "hidden": hidden,  # without randomness outside training
            "logits": keras.layers.Dense(layers.Categorical.params_size(WORDS, T), name="logits")(z),
        },
    )


# Distributions as layers, each from parameters to a sample.
FAMILIES = {
    "Bernoulli": (4,),
    "Categorical": (3, 2),
    "ContinuousBernoulli": (4,),
    "Logistic": (3,),
    "Mixture": (2, layers.Logistic(3)),
    "MixtureDiscretizedLogistic": (2, (2, 2)),
    "MixtureNormal": (2, 3),
    "MultivariateNormalDiag": (3,),
    "MultivariateNormalTriL": (3,),
    "Normal": (3,),
    "OneHotCategorical": (3,),
    "Poisson": (3,),
}


def distribution_model():
    """Returns a model with every distribution as a layer, and the `log_prob` of samples under priors."""
    x = keras.Input((5,), name="x")
    outputs = {}
    for name, arguments in FAMILIES.items():
        family = getattr(layers, name)
        layer = family(*arguments, convert_to_tensor_fn="params")
        outputs[name] = layer(keras.layers.Dense(layer.num_params)(x))
    z = keras.layers.Dense(Z)(x)
    encoder = keras.Sequential([keras.Input((5,)), keras.layers.Dense(layers.Normal.params_size(Z))])
    priors = {
        "StandardNormalPrior": layers.StandardNormalPrior(Z),
        "LearnedPrior": layers.LearnedPrior(layers.MixtureNormal(3, Z)),
        "VampPrior": layers.VampPrior(encoder, layers.Normal(Z), 3, (5,)),
        "RealNVPPrior": layers.RealNVPPrior(Z),
    }
    outputs |= {name: prior(z) for name, prior in priors.items()}
    return keras.Model(x, outputs)


def batch(seed=0):
    rng = np.random.default_rng(seed)
    tokens = rng.integers(1, WORDS, [4, T]).astype("int32")
    tokens[1, 4:] = 0  # padding
    images = rng.uniform(size=[4, 8, 8, 1]).astype("float32")
    return {"tokens": tokens, "images": images, "waveform": rng.uniform(-1, 1, [4, 60]).astype("float32")}


def likelihood():
    return layers.NegativeLogLikelihood(layers.Categorical(WORDS, T))


def compiled(model, **options):
    # Not Adam, whose updates of a hundred variables would take longer to trace than all else.
    model.compile(keras.optimizers.SGD(0.1), loss={"hidden": None, "logits": likelihood()}, **options)
    return model


def test_the_models_hold_every_layer():
    models = sequence_model(), distribution_model()
    found = {type(layer) for model in models for layer in model._flatten_layers(include_self=False)}
    here = {name for name in layers.__all__ if getattr(layers, name) in found}
    assert set(layers.__all__) - here == set(ELSEWHERE)


MODELS = {"sequence": (sequence_model, batch()), "distributions": (distribution_model, np.ones([4, 5], "float32"))}


@pytest.fixture(scope="module")
def cases():
    """Returns for each name a model, inputs, and the outputs that are no samples."""
    models = {name: (build(), inputs) for name, (build, inputs) in MODELS.items()}
    return {name: (model, inputs, without_samples(model(inputs))) for name, (model, inputs) in models.items()}


@pytest.fixture(params=MODELS)
def case(request, cases):
    return cases[request.param]


def without_samples(outputs):
    return {name: np.asarray(output) for name, output in outputs.items() if name != "logits"}


def assert_same(outputs, expected):
    assert set(outputs) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(outputs[name], value, rtol=1e-5, atol=1e-5, err_msg=name)


def test_a_fresh_process_loads_them_without_custom_objects(cases, tmp_path):
    for name, (model, inputs, _) in cases.items():
        model.save(tmp_path / f"{name}.keras")
        np.savez(tmp_path / f"{name}.npz", **(inputs if isinstance(inputs, dict) else {"x": inputs}))
    code = """
import sys, keras, numpy, ikelos.layers
for name in sys.argv[1:]:
    model = keras.saving.load_model(f"{name}.keras")
    inputs = dict(numpy.load(f"{name}.npz"))
    numpy.savez(f"{name}_outputs.npz", **model(inputs if len(inputs) > 1 else inputs["x"]))
"""
    subprocess.run([sys.executable, "-c", code, *cases], check=True, cwd=tmp_path)
    for name, (*_, expected) in cases.items():
        with np.load(tmp_path / f"{name}_outputs.npz") as again:
            assert_same(without_samples(again), expected)


def test_clones_have_the_same_weights_and_outputs(case):
    model, inputs, expected = case
    clone = keras.models.clone_model(model)
    assert [w.path.split("/")[-1] for w in clone.weights] == [w.path.split("/")[-1] for w in model.weights]
    clone.set_weights(model.get_weights())
    assert_same(without_samples(clone(inputs)), expected)


@pytest.mark.slow
def test_exports(cases, tmp_path):
    # Distributions are exported in `distributions/test_models.py`.
    model, inputs, expected = cases["sequence"]
    archive = keras.export.ExportArchive()
    for layer in model.layers:
        archive.track(layer)
    symbols = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype, x.name), model.input)
    # `model.export` would trace the model four times, for an `input_signature` and for a tracked model too.
    serve = tf.function(model.__call__, autograph=False)
    serve.get_concrete_function(symbols)
    archive.add_endpoint("serve", serve)
    # Gradients of exported models would take longer than all else here; `check_layer` exports them, layer by layer.
    archive.write_out(
        tmp_path / "saved", tf.saved_model.SaveOptions(experimental_custom_gradients=False), verbose=False
    )
    exported = tf.saved_model.load(tmp_path / "saved")
    assert_same(without_samples(exported.serve(inputs)), expected)


@pytest.mark.parametrize(
    ("policy", "jit_compile"),
    [
        ("mixed_bfloat16", False),
        pytest.param("mixed_bfloat16", True, marks=pytest.mark.slow),
        pytest.param("float32", True, marks=pytest.mark.slow),
    ],
)
def test_trains(policy, jit_compile):
    keras.utils.set_random_seed(0)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = sequence_model()
    finally:
        keras.config.set_dtype_policy(before)
    compiled(model, jit_compile=jit_compile)
    data = tf.data.Dataset.from_tensors((batch(), {"logits": batch()["tokens"]})).repeat(30)
    losses = model.fit(data, steps_per_epoch=10, epochs=3, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.9 * losses[0]
    assert all(weight.dtype == "float32" for weight in model.trainable_variables)


@pytest.mark.slow
def test_two_trainers_of_our_layers(tmp_path):
    """A variational autoencoder and a GAN, whose networks are made of the library's own layers."""
    keras.utils.set_random_seed(0)

    def network(inputs, outputs):
        x = keras.Input((inputs,))
        h = keras.layers.Reshape((T, D))(keras.layers.Dense(T * D)(x))
        h = layers.FusedLSTM(D)(layers.EncoderBlock(2, 16)(h))
        return keras.Model(x, keras.layers.Dense(outputs)(h))

    posterior = layers.Normal(Z)
    encoder = network(10, layers.Normal.params_size(Z))
    vae = layers.VariationalAutoencoder(
        encoder,
        posterior,
        layers.VampPrior(encoder, posterior, 3, (10,)),
        network(Z, layers.Bernoulli.params_size(10)),
        layers.Bernoulli(10),
    )
    gan = layers.AdversarialModel(network(Z, 10), network(10, 1), penalties={"r1": 0.1}, seed=1)
    vae.compile("adam", run_eagerly=True)
    gan.compile(generator_optimizer="adam", discriminator_optimizer="adam", run_eagerly=True)
    data = (np.random.default_rng(0).uniform(size=[32, 10]) > 0.5).astype("float32")
    for name, model in {"vae": vae, "gan": gan}.items():
        history = model.fit(data, batch_size=8, epochs=2, verbose=0).history
        assert np.isfinite(list(history.values())).all(), history
        model.save(tmp_path / f"{name}.keras")
        again = keras.saving.load_model(tmp_path / f"{name}.keras")
        np.testing.assert_allclose(again.sample(3, seed=5), model.sample(3, seed=5), rtol=1e-5, atol=1e-5)
