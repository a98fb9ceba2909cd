"""Predict expression at spots that were not sequenced: baselines, networks, Gaussian process."""
