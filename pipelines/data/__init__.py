"""Data: sources of documents, vocabularies, and batches of tokens as tf.data sets."""
