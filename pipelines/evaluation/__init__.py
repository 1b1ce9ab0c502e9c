"""What a model is measured with: likelihoods, distances of images, baselines, the machine it ran on."""
