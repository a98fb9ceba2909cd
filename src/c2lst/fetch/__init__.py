"""Public data from their own homes: what there is, under which terms, fetched and checked."""

from __future__ import annotations

from c2lst.fetch.plan import Plan, plan_fetch
from c2lst.fetch.published import PublishedFile
from c2lst.fetch.registry import DataSet, load_registry

__all__ = ["DataSet", "Plan", "PublishedFile", "load_registry", "plan_fetch"]
