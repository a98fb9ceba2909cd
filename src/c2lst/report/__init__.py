"""One self-contained HTML page about a run, made from the files of the run alone."""

from __future__ import annotations

from c2lst.report.page import write_report

__all__ = ["write_report"]
