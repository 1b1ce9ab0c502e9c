"""Each op in plain TensorFlow, one file an op: its meaning, the portable graph, and the oracle of the
tests."""
