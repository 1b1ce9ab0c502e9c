"""Speech recognition: writing down what is said in a recording."""
