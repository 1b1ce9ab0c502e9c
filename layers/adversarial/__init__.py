"""Adversarial training: losses, penalties on the gradient, augmentation, averages, and what to watch.

`ikelos.layers.AdversarialModel` puts them together; each is of use in a training loop of one's own:

- `losses.LOSSES`: by name, the pair of losses of the discriminator's and the generator's scores, with their equations.
- `penalties.PENALTIES`: by name, functions `(discriminator, real, fake, seed)` for a discriminator's loss.
- `DifferentiableAugmentation(policy, seed)`: for what the discriminator sees.
- `moving_average.copy_of(generator)` and `update_average(average, generator, momentum, num_updates)`.
- `PairwiseDiversity()`: a metric that falls to 0 when the generator collapses.

Spectral normalisation is Keras's layer, around any layer of the discriminator:

>>> from ikelos.layers import AdversarialModel
>>> normalised = keras.layers.SpectralNormalization(keras.layers.Conv2D(4, 3, activation="leaky_relu"))
>>> critic = keras.Sequential(
...     [keras.Input((8, 8, 1)), normalised, keras.layers.Flatten(), keras.layers.Dense(1)]
... )
>>> generator = keras.Sequential(
...     [keras.Input((16,)), keras.layers.Dense(64, "tanh"), keras.layers.Reshape((8, 8, 1))]
... )
>>> model = AdversarialModel(generator, critic, loss="hinge")
>>> model.sample(3, seed=1).shape
TensorShape([3, 8, 8, 1])
"""
