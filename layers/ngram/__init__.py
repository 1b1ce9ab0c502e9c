"""Language modelling by counting: n-grams of the training text, and repetitions within the current text."""
