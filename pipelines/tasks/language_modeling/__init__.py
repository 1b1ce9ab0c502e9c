"""Language modelling: the next token of a text, from what came before."""
