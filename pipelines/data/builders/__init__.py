"""The data sets of our own, one file each, as builders of TensorFlow Datasets."""
