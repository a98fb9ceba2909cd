"""Names of methods, and of the layers and columns of ``predictions.h5ad`` that are judged."""

from __future__ import annotations

DEFAULT_METHOD = "c2lst (image + place)"
NETWORK, NETWORK_TWIN, TWIN = "network_cotrained", "network_real_only", "predicted_real_only"
COTRAINED, NO_NETWORK = "predicted_cotrained", "predicted_no_network"
"""The full predictor with a network of real and synthetic pairs, and without any network."""

REFERENCE = "train_median"

PREDICTED, OBSERVED, LOWER, UPPER = "predicted", "observed", "lower", "upper"
COUNTS = "predicted_counts"
"""The prediction again, in counts: it is judged once, as ``predicted``."""

BASELINE_PREFIX = "baseline_"
LIBRARY_SIZE = "library_size"

HELD_OUT, LEFT_OUT = "held-out spots", "training spots, each left out"
"""What is judged: spots that nothing saw, or, where every spot was learnt from, each of them as
predicted without its fold."""
