"""Text: documents, vocabularies, windows of tokens as tf.data sets, signatures, and report sections."""
