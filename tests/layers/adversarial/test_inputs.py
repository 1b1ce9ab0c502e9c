import keras
import numpy as np
import pytest

from ikelos.layers import AdversarialModel

SAMPLES, LABELS = np.zeros([8, 2], "float32"), np.zeros([8, 4], "float32")
SIZES = {"latents": 3, "samples": 2, "label": 4, "style": 5}


def network(units, *names, keyed=False):
    """Returns a network of inputs with the given names, which is called with their list, or with a dict if `keyed`."""
    inputs = [keras.Input((SIZES[name],), name=name) for name in names]
    if len(inputs) == 1:
        return keras.Sequential([*inputs, keras.layers.Dense(units)])
    outputs = keras.layers.Dense(units)(keras.layers.Concatenate()(inputs))
    return keras.Model(dict(zip(names, inputs, strict=True)) if keyed else inputs, outputs)


def adversaries(generator, discriminator, **arguments):
    model = AdversarialModel(generator, discriminator, seed=1, **arguments)
    model.compile("sgd", "sgd", run_eagerly=True)
    return model


PLAIN, KEYED = (
    {
        "generator": network(2, "latents", "label", keyed=keyed),
        "discriminator": network(1, "samples", "label", keyed=keyed),
    }
    for keyed in (False, True)
)
WITHOUT = {"generator": network(2, "latents"), "discriminator": network(1, "samples")}


@pytest.mark.parametrize(
    ("networks", "condition", "message"),
    [
        (
            WITHOUT,
            LABELS,
            r"`generator` must be called with as many inputs as it has, 1: \['latents'\]. Call `fit\(samples\)` "
            r"without a condition, .* Received: \[TensorShape\(\[8, 3\]\), TensorShape\(\[8, 4\]\)\]",
        ),
        # A dict, of which Keras would take what the network knows and leave out the rest.
        (
            WITHOUT,
            {"label": LABELS},
            r"`generator` .* has, 1: \['latents'\]. Call `fit\(samples\)` without a condition",
        ),
        (
            PLAIN | {"discriminator": WITHOUT["discriminator"]},
            LABELS,
            r"`discriminator` .* has, 1: \['samples'\]. Call .* `discriminator_sees_condition`",
        ),
        (PLAIN, None, r"`generator` .* has, 2: \['latents', 'label'\]. Give .* Received: \(8, 3\)"),
        (
            PLAIN,
            (LABELS, LABELS),
            r"`generator` .* has, 2: \['latents', 'label'\]. Give `fit`, `sample` and `generate`",
        ),
        (PLAIN, {"lable": LABELS}, r"`generator` .* Give .* in a dict by their names. Received: {'latents': .*'lable'"),
        (KEYED, {"lable": LABELS}, r"`generator` .* has, 2: \['latents', 'label'\]. Give .* Received: {.*'lable'"),
        (KEYED, {"label": LABELS, "style": LABELS}, r"`generator` .* has, 2: .* Received: {.*'style'"),
    ],
)
def test_other_conditions_than_a_network_has_inputs_for(networks, condition, message):
    with pytest.raises(ValueError, match=message):
        adversaries(**networks).fit(SAMPLES, condition, verbose=0)


@pytest.mark.parametrize(
    ("networks", "condition"), [(PLAIN, LABELS), (PLAIN, {"label": LABELS}), (KEYED, {"label": LABELS})]
)
def test_the_conditions_that_it_has_inputs_for(networks, condition):
    model = adversaries(**networks)
    model.fit(SAMPLES, condition, verbose=0)
    assert model.sample(8, seed=1, condition=condition).shape == (8, 2)


def test_a_discriminator_that_is_to_see_no_condition():
    message = (
        r"`discriminator` .* has, 2: \['samples', 'label'\]. .*`discriminator_sees_condition`.* Received: \(8, 2\)"
    )
    with pytest.raises(ValueError, match=message):
        adversaries(**PLAIN, discriminator_sees_condition=False).fit(SAMPLES, LABELS, verbose=0)


def test_conditions_of_samples():
    with pytest.raises(ValueError, match=r"`generator` .* has, 2: .* `sample` and `generate`"):
        adversaries(**PLAIN).sample(8, seed=1)
    with pytest.raises(ValueError, match=r"`generator` .* has, 1: \['latents'\]"):
        adversaries(**WITHOUT).generate(np.zeros([8, 3], "float32"), LABELS)
    translator = adversaries(network(2, "label"), network(1, "samples", "label"), latent_size=0)
    assert translator.generate(condition=LABELS).shape == (8, 2)
    with pytest.raises(ValueError, match=r"`generator` .* has, 1: \['label'\]"):
        translator.generate(condition=(LABELS, LABELS))


def test_a_subclassed_network_judges_by_itself():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.last = keras.layers.Dense(1)

        def call(self, inputs):
            return self.last(inputs[0] if isinstance(inputs, list) else inputs)

    critic = Own()
    critic(SAMPLES)
    logs = adversaries(PLAIN["generator"], critic).fit(SAMPLES, LABELS, verbose=0).history
    assert np.isfinite(logs["discriminator_loss"]).all()
