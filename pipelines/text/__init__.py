"""Text: documents, vocabularies, windows of tokens as tf.data sets, and text in and out of a graph."""
