"""Judge predicted expression on held-out spots, with intervals that respect space.

``docs/metrics.md`` says what each number means and why it is there.
"""

from c2lst.evaluation.expression.comparisons import compare
from c2lst.evaluation.expression.coverage import interval_coverage
from c2lst.evaluation.expression.files import write_evaluation
from c2lst.evaluation.expression.floor import NoiseFloor
from c2lst.evaluation.expression.names import DEFAULT_METHOD, NETWORK, NETWORK_TWIN, TWIN
from c2lst.evaluation.expression.runs import combine
from c2lst.evaluation.expression.table import evaluate

__all__ = [
    "DEFAULT_METHOD",
    "NETWORK",
    "NETWORK_TWIN",
    "TWIN",
    "NoiseFloor",
    "combine",
    "compare",
    "evaluate",
    "interval_coverage",
    "write_evaluation",
]
