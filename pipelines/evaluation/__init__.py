"""What a model is measured with: likelihoods, the n-gram baseline, the machine it ran on."""
