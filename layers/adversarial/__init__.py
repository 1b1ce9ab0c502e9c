"""Adversarial training: losses, gradient penalties, augmentation, moving averages and a metric.

`ikelos.layers.AdversarialModel` uses all of them. Each can also be used in another training loop:

- `losses.LOSSES`: the losses of both networks by name; their equations are in the module.
- `penalties.PENALTIES`: functions `(discriminator, real, fake, seed)` by name, which compute terms of the
  discriminator's loss.
- `DifferentiableAugmentation(policy, seed)`: a layer for the samples that the discriminator sees.
- `moving_average.copy_of(generator)` and `update_average(average, generator, momentum, num_updates)`.
- `PairwiseDiversity()`: a metric that falls to 0 when the generator collapses.

For spectral normalization, put Keras's layer around any layer of the discriminator:

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
