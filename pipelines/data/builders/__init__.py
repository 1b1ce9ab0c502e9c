"""The data sets of Ikelos, as builders for TensorFlow Datasets, one file each."""
