"""LSTM and GRU for `numerics.py`."""

import tensorflow as tf

from ikelos import kernels

GATES = {"lstm": 4, "gru": 3}


class Recurrent:
    """LSTM or GRU, by `cell`, with some sizes."""

    def __init__(self, cell, batch, time, features, units):
        self.cell, self.gates = cell, GATES[cell]
        self.sizes = batch, time, features, units
        self.states = 2 if cell == "lstm" else 1
        self.results = [[batch, time, units], *[[batch, units]] * self.states]

    def options(self, draw):
        """Returns the options of each row by its name; arrays are float64, integers or Boolean.

        The options `gain` and `normalised` are for `operands`, the others for the op.
        """
        batch, time, _, units = self.sizes
        options = {
            "nothing else": {},
            "weights 4 times as large": {"gain": 4.0},
            "backwards": {"go_backwards": True},
            "lengths": {"sequence_lengths": draw.integers(1, time + 1, batch)},
            "mask, half valid": {"mask": draw.random([batch, time]) < 0.5},
            "recurrent dropout 0.1": {"recurrent_dropout_mask": (draw.random([batch, self.gates, units]) < 0.9) / 0.9},
            "normalised gates": {"normalised": True},
        }
        if self.cell == "gru":
            options["reset before"] = {"reset_after": False}
        return options

    def operands(self, draw, gain=1.0, normalised=False, reset_after=True, **_):
        """Returns inputs, kernel, recurrent kernel, bias, initial states, and the scales of normalised gates if any."""
        batch, time, features, units = self.sizes
        gates = self.gates * units
        bias = [2, gates] if self.cell == "gru" and reset_after else [gates]
        weights = [
            gain * draw.uniform(-(units**-0.5), units**-0.5, shape)
            for shape in ([features, gates], [units, gates], bias)
        ]
        states = [draw.uniform(-1, 1, [batch, units]) for _ in range(self.states)]
        scales = [[gates], [gates], [units], [units]] if self.cell == "lstm" else [[gates], [gates]]
        norms = [draw.uniform(0.5, 1.5, shape) for shape in scales] if normalised else []
        return [draw.standard_normal([batch, time, features]), *weights, *states, *norms]

    def run(self, implementation, inputs, kernel, recurrent_kernel, bias, *others, gain=1.0, normalised=False, **given):
        """Runs the op."""
        states, scales = others[: self.states], others[self.states :]
        if normalised:
            given["layer_norm"] = kernels.LayerNorm(*scales)
        op = {"lstm": kernels.lstm, "gru": kernels.gru}[self.cell]
        state = states if self.cell == "lstm" else states[0]
        outputs, last = op(inputs, kernel, recurrent_kernel, bias, state, implementation=implementation, **given)
        return [outputs, *(last if self.cell == "lstm" else [last])]

    def naive(self, inputs, kernel, recurrent_kernel, bias, hidden, *cell, gain=1.0, **given):
        """Runs a loop in plain TensorFlow, in the dtype of the inputs; returns None for other options."""
        if not set(given) <= {"go_backwards"}:
            return None
        step = self._lstm_step if self.cell == "lstm" else self._gru_step
        steps, outputs = tf.unstack(inputs, axis=1), []
        for x in steps[::-1] if given else steps:
            hidden, *cell = step(x, kernel, recurrent_kernel, bias, hidden, *cell)
            outputs.append(hidden)
        return [tf.stack(outputs, axis=1), hidden, *cell]

    def _lstm_step(self, x, kernel, recurrent_kernel, bias, hidden, cell):
        enter, forget, new, out = tf.split(x @ kernel + hidden @ recurrent_kernel + bias, 4, axis=-1)
        cell = tf.sigmoid(forget) * cell + tf.sigmoid(enter) * tf.tanh(new)
        return tf.sigmoid(out) * tf.tanh(cell), cell

    def _gru_step(self, x, kernel, recurrent_kernel, bias, hidden):
        by_input = tf.split(x @ kernel + bias[0], 3, axis=-1)
        by_state = tf.split(hidden @ recurrent_kernel + bias[1], 3, axis=-1)
        update, reset = (tf.sigmoid(a + b) for a, b in zip(by_input[:2], by_state[:2], strict=True))
        return (update * hidden + (1 - update) * tf.tanh(by_input[2] + reset * by_state[2]),)
