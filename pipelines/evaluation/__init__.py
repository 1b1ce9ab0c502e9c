"""Metrics and baselines: likelihoods, distances between sets of images, n-gram models, and the machine's speed."""
