"""Transfer between whole sections: learn from some, predict others, judge slide by slide."""

from c2lst.benchmark.folds import Fold, Task, leave_one_out
from c2lst.benchmark.hest_bench import read_task
from c2lst.benchmark.results import summarise
from c2lst.benchmark.running import run_benchmark
from c2lst.benchmark.settings import BenchmarkSettings

__all__ = [
    "BenchmarkSettings",
    "Fold",
    "Task",
    "leave_one_out",
    "read_task",
    "run_benchmark",
    "summarise",
]
