"""Each op in plain TensorFlow: its definition, its portable implementation, and what tests compare the kernel with."""
