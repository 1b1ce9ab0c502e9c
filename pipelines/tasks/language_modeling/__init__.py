"""Language modelling: predicting the next token of a text from those before it."""
