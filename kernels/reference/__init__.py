"""Each op in plain TensorFlow: its definition and portable implementation, with which tests compare the kernel."""
