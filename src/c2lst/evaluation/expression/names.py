"""Names of methods, and of the layers and columns of ``predictions.h5ad`` that are judged."""

from __future__ import annotations

DEFAULT_METHOD = "c2lst (image + place)"
NETWORK, NETWORK_TWIN, TWIN = "network_cotrained", "network_real_only", "predicted_real_only"
REFERENCE = "train_median"

PREDICTED, OBSERVED, LOWER, UPPER = "predicted", "observed", "lower", "upper"
COUNTS = "predicted_counts"
"""The prediction again, in counts: it is judged once, as ``predicted``."""

BASELINE_PREFIX = "baseline_"
LIBRARY_SIZE = "library_size"
