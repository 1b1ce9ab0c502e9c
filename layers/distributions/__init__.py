"""Distributions for Keras 3: a counterpart of `tfp.layers`, which works with Keras 2 only.

`tfp.layers` passes `tfd` objects (distributions of TensorFlow Probability) from layer to layer, which Keras 3 does not
allow. Here layers pass only tensors; a method returns the `tfd` object for given parameters. There are four concepts:

- A **distribution layer** turns parameters `[...,params_size]` into a tensor: a sample, the mean, the mode or the
  parameters themselves (`convert_to_tensor_fn="sample" | "mean" | "mode" | "params"`). It has a static method
  `params_size(...)` for the size of the layer before it; `distribution(params)`, the `tfd` object, in float32 or
  float64; `log_prob(params, values)`, which checks the values; `event_shape`, `num_params`, `support`; and
  `next_seed()` for the `sample` method of the `tfd` object. Arguments and parameters are those of `tfp.layers`, so
  weights trained with it keep their meaning, except that 1e-5 is added to all scales.
- A **prior** has weights instead of inputs. It has `distribution()`, `event_shape` and `support`; called as a layer, it
  gives the `log_prob` of its inputs.
- `KLDivergence(posterior, prior)` is the latent layer of a variational autoencoder: it takes parameters, returns a
  sample and adds the divergence to the loss. The function `kl_divergence(posterior, prior, sample)` gives the
  divergence of two `tfd` objects.
- `NegativeLogLikelihood(distribution_layer)` is the loss of a model that outputs parameters.

Together they make the negative evidence lower bound the loss of an ordinary model:

>>> from ikelos.layers.distributions import Bernoulli, KLDivergence, NegativeLogLikelihood, Normal, StandardNormalPrior
>>> pixels = Bernoulli((28, 28))
>>> model = keras.Sequential([
...     keras.Input((28, 28)),
...     keras.layers.Flatten(),
...     keras.layers.Dense(Normal.params_size(8)),
...     KLDivergence(Normal(8), StandardNormalPrior(8)),
...     keras.layers.Dense(Bernoulli.params_size((28, 28))),
... ])
>>> model.compile("adam", loss=NegativeLogLikelihood(pixels))
>>> pixels.distribution(model(keras.ops.zeros((2, 28, 28)))).mean().shape
TensorShape([2, 28, 28])

The distribution layers all take `convert_to_tensor_fn="sample"` and `seed=None` too:

| distribution layer | arguments of the layer and of `params_size` | parameters of an event of E values | values |
|---|---|---|---|
| `Normal`, `Logistic` | `event_shape=()` | 2 E, or maps | finite |
| `Bernoulli`, `ContinuousBernoulli` | `event_shape=()` | E, or maps | 0 to 1 |
| `Poisson` | `event_shape=()` | E, or maps | 0, 1, 2, ... |
| `MultivariateNormalDiag` | `event_size` | 2 E | finite |
| `MultivariateNormalTriL` | `event_size` | E + E (E + 1) / 2 | finite |
| `Categorical` | `num_classes, event_shape=()` | E num_classes, or maps | 0 to num_classes - 1 |
| `OneHotCategorical` | `event_size` | E | one-hot vectors |
| `Mixture` | `num_components, component_layer` | num_components (1 + those of a component) | the component's |
| `MixtureNormal` | `num_components, event_shape=()` | num_components (1 + 2 E) | finite |
| `MixtureDiscretizedLogistic` | `num_components, event_shape=()` | 3 E num_components, or maps | the levels |

`Mixture.params_size` takes the number of a component's parameters in place of the component, and
`MixtureDiscretizedLogistic` also has the arguments `low=0.0, high=1.0, num_levels=256`. "Maps" means that the
parameters of an event with two or more axes may also have the shape `[...,*event_shape[:-1],channels]`, the output of a
convolution.

Values that a distribution cannot take (0 to 255 under `Bernoulli`, a fraction under `Poisson`, NaN) are refused by
`log_prob`, `NegativeLogLikelihood`, priors and `ikelos.layers.VariationalAutoencoder`, and so are shapes that
TensorFlow would broadcast. Methods of the `tfd` objects check nothing.

| prior | arguments |
|---|---|
| `StandardNormalPrior` | `event_shape` |
| `LearnedPrior` | `family` (a distribution layer), `initializer="random_normal"` |
| `VampPrior` | `encoder, posterior, num_components, input_shape, initializer="random_uniform", constraint=None` |
| `RealNVPPrior` | `event_size, num_couplings=4, hidden_units=(64, 64), activation="relu"` |

Further layers: `KLDivergence(posterior, prior, beta=1.0, free_bits=0.0, use_exact_kl=None)`,
`NegativeLogLikelihood(distribution, reduction="sum_over_batch_size")` and
`VectorQuantizer(num_embeddings, embedding_dim, commitment_cost=0.25, decay=0.99, epsilon=1e-5)`, which has
`encode(inputs)`, `decode(ids)` and `codebook()`.

Any other distribution of TensorFlow Probability, for which `tfp.layers` has `DistributionLambda`, is a subclass of
`DistributionLayer`. Unlike `DistributionLambda`, the subclass is saved by name and not as code. It works wherever
the distribution layers do:

>>> import tensorflow_probability as tfp
>>> from ikelos.layers.distributions import DistributionLayer, Support, event_size, scale_of
>>> @keras.saving.register_keras_serializable(package="my_project")
... class Gamma(DistributionLayer):
...     support = Support("positive numbers", lambda x: (x > 0) & (x < float("inf")))
...
...     def __init__(self, event_shape=(), **kwargs):
...         super().__init__(event_shape, self.params_size(event_shape), **kwargs)
...
...     @staticmethod
...     def params_size(event_shape=()):
...         return 2 * event_size(event_shape)
...
...     def make_distribution(self, params):
...         concentration, rate = self.split(params, 2)
...         gamma = tfp.distributions.Gamma(scale_of(concentration), scale_of(rate))
...         return tfp.distributions.Independent(gamma, len(self.event_shape))
...
...     def get_config(self):
...         return {**super().get_config(), "event_shape": self.event_shape}
>>> waiting_times = NegativeLogLikelihood(Gamma(3))
>>> round(float(waiting_times(keras.ops.ones((2, 3)), keras.ops.zeros((2, Gamma.params_size(3))))), 4)
3.6494
>>> waiting_times(-keras.ops.ones((2, 3)), keras.ops.zeros((2, 6)))
Traceback (most recent call last):
ValueError: `y_true` must be positive numbers. Received: a value of -1

All but `VectorQuantizer` need TensorFlow Probability (in a clone `pip install '.[probability]'`), which is imported
when the first such object is created.
"""

from ikelos.layers.distributions.bernoulli import Bernoulli
from ikelos.layers.distributions.categorical import Categorical
from ikelos.layers.distributions.continuous_bernoulli import ContinuousBernoulli
from ikelos.layers.distributions.distribution_layer import DistributionLayer, event_size, scale_of
from ikelos.layers.distributions.kl_divergence import KLDivergence, kl_divergence
from ikelos.layers.distributions.learned_prior import LearnedPrior
from ikelos.layers.distributions.logistic import Logistic
from ikelos.layers.distributions.mixture import Mixture
from ikelos.layers.distributions.mixture_discretized_logistic import MixtureDiscretizedLogistic
from ikelos.layers.distributions.mixture_normal import MixtureNormal
from ikelos.layers.distributions.multivariate_normal_diag import MultivariateNormalDiag
from ikelos.layers.distributions.multivariate_normal_tril import MultivariateNormalTriL
from ikelos.layers.distributions.negative_log_likelihood import NegativeLogLikelihood
from ikelos.layers.distributions.normal import Normal
from ikelos.layers.distributions.one_hot_categorical import OneHotCategorical
from ikelos.layers.distributions.poisson import Poisson
from ikelos.layers.distributions.prior import Prior
from ikelos.layers.distributions.real_nvp_prior import RealNVPPrior
from ikelos.layers.distributions.standard_normal_prior import StandardNormalPrior
from ikelos.layers.distributions.support import Support
from ikelos.layers.distributions.vamp_prior import VampPrior
from ikelos.layers.distributions.vector_quantizer import VectorQuantizer

__all__ = [
    "Bernoulli",
    "Categorical",
    "ContinuousBernoulli",
    "DistributionLayer",
    "KLDivergence",
    "LearnedPrior",
    "Logistic",
    "Mixture",
    "MixtureDiscretizedLogistic",
    "MixtureNormal",
    "MultivariateNormalDiag",
    "MultivariateNormalTriL",
    "NegativeLogLikelihood",
    "Normal",
    "OneHotCategorical",
    "Poisson",
    "Prior",
    "RealNVPPrior",
    "StandardNormalPrior",
    "Support",
    "VampPrior",
    "VectorQuantizer",
    "event_size",
    "kl_divergence",
    "scale_of",
]
