"""Generated sequences: problems that ask for a long memory, training on them, and signatures."""
