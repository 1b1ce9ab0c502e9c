"""Distributions for Keras 3: what `tfp.layers` does for Keras 2, with tensors between layers.

`tfp.layers` passes `tfd` objects from layer to layer, which Keras 3 cannot. Here only tensors pass, and a layer hands
out the `tfd` object (TensorFlow Probability's) of given parameters on demand. Four concepts:

- A **distribution layer** turns parameters `[...,params_size]` into a tensor: a sample, the mean, the mode or the
  parameters themselves (`convert_to_tensor_fn="sample" | "mean" | "mode" | "params"`). It has
  `params_size(...)`, static, for the layer before it; `distribution(params)`, the `tfd` object in float32;
  `event_shape`, `num_params`, and `next_seed()` for the object's own `sample`. Arguments and parameters are
  those of `tfp.layers`, so that weights trained with it keep their meaning (scales have 1e-5 added).
- A **prior** has weights instead of inputs: `distribution()`, `event_shape`; called as a layer it gives `log_prob`.
- `KLDivergence(posterior, prior)` is the latent layer of a variational autoencoder: parameters in, sample out, and the
  divergence added to the loss. `kl_divergence(posterior, prior, sample)` gives it for `tfd` objects, `[...]`, or
  `[...,*event_shape]` where it is a sum over the values of an event.
- `NegativeLogLikelihood(distribution_layer)` is the loss of a model that outputs parameters.

So the negative evidence lower bound is the loss of an ordinary model:

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

Signatures; all distribution layers also take `convert_to_tensor_fn="sample"` and `seed=None`:

| distribution layer | arguments, also those of `params_size` | parameters of an event of E values |
|---|---|---|
| `Normal`, `Bernoulli`, `ContinuousBernoulli` | `event_shape=()` | 2 E, E, E; or maps |
| `MultivariateNormalDiag`, `MultivariateNormalTriL` | `event_size` | 2 E; E + E (E + 1) / 2 |
| `Categorical` | `num_classes, event_shape=()` | E num_classes; or maps |
| `OneHotCategorical` | `event_size` | E |
| `MixtureNormal` | `num_components, event_shape=()` | num_components (1 + 2 E) |
| `MixtureDiscretizedLogistic` | `num_components, event_shape=()` | 3 E num_components; or maps |

`MixtureDiscretizedLogistic` also has `low=0.0, high=1.0, num_levels=256`. "Maps": of an event with two axes or more the
parameters may also be `[...,*event_shape[:-1],channels]`, as a convolution gives them.

| prior | arguments |
|---|---|
| `StandardNormalPrior` | `event_shape` |
| `LearnedPrior` | `family` (a distribution layer), `initializer="random_normal"` |
| `VampPrior` | `encoder, posterior, num_components, input_shape, initializer="random_uniform", constraint=None` |
| `RealNVPPrior` | `event_size, num_couplings=4, hidden_units=(64, 64), activation="relu"` |

`KLDivergence(posterior, prior, beta=1.0, free_bits=0.0, use_exact_kl=None)`,
`NegativeLogLikelihood(distribution, reduction="sum_over_batch_size")`,
`VectorQuantizer(num_embeddings, embedding_dim, commitment_cost=0.25, decay=0.99, epsilon=1e-5)` with `encode(inputs)`,
`decode(ids)`, `codebook()`.

All but `VectorQuantizer` need TensorFlow Probability (`pip install 'ikelos[probability]'`), which is imported when the
first of them is made.
"""

from ikelos.layers.distributions.bernoulli import Bernoulli
from ikelos.layers.distributions.categorical import Categorical
from ikelos.layers.distributions.continuous_bernoulli import ContinuousBernoulli
from ikelos.layers.distributions.kl_divergence import KLDivergence, kl_divergence
from ikelos.layers.distributions.learned_prior import LearnedPrior
from ikelos.layers.distributions.mixture_discretized_logistic import MixtureDiscretizedLogistic
from ikelos.layers.distributions.mixture_normal import MixtureNormal
from ikelos.layers.distributions.multivariate_normal_diag import MultivariateNormalDiag
from ikelos.layers.distributions.multivariate_normal_tril import MultivariateNormalTriL
from ikelos.layers.distributions.negative_log_likelihood import NegativeLogLikelihood
from ikelos.layers.distributions.normal import Normal
from ikelos.layers.distributions.one_hot_categorical import OneHotCategorical
from ikelos.layers.distributions.real_nvp_prior import RealNVPPrior
from ikelos.layers.distributions.standard_normal_prior import StandardNormalPrior
from ikelos.layers.distributions.vamp_prior import VampPrior
from ikelos.layers.distributions.vector_quantizer import VectorQuantizer

__all__ = [
    "Bernoulli",
    "Categorical",
    "ContinuousBernoulli",
    "KLDivergence",
    "LearnedPrior",
    "MixtureDiscretizedLogistic",
    "MixtureNormal",
    "MultivariateNormalDiag",
    "MultivariateNormalTriL",
    "NegativeLogLikelihood",
    "Normal",
    "OneHotCategorical",
    "RealNVPPrior",
    "StandardNormalPrior",
    "VampPrior",
    "VectorQuantizer",
    "kl_divergence",
]
