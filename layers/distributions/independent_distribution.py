"""`IndependentDistribution`: the base class of distributions whose values are independent of each other."""

from ikelos.layers.distributions.distribution_layer import DistributionLayer, event_size, probability


class IndependentDistribution(DistributionLayer):
    """Base of the layers in which each value of an event has a separate distribution.

    A subclass has `params_per_value` and `make_values(...)`.

    Args:
        event_shape: Shape of one event; an int is the size of a vector.
        convert_to_tensor_fn: As for `DistributionLayer`.
        seed: As for `DistributionLayer`.

    Attributes:
        params_per_value: Number of parameters of one value.
    """

    params_per_value = 1

    def __init__(self, event_shape=(), convert_to_tensor_fn="sample", seed=None, **kwargs):
        super().__init__(event_shape, self.params_size(event_shape), convert_to_tensor_fn, seed, **kwargs)

    @classmethod
    def params_size(cls, event_shape=()):
        """Returns the number of parameters of one event."""
        return cls.params_per_value * event_size(event_shape)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "event_shape": self.event_shape}

    def make_distribution(self, params):
        """Returns the `tfd.Distribution` of events."""
        values = self.make_values(*self.split(params, self.params_per_value))
        return probability().distributions.Independent(values, len(self.event_shape))

    def make_values(self, *params):
        """Returns the `tfd.Distribution` of single values, given `params_per_value` tensors `[...,*event_shape]`."""
        raise NotImplementedError
