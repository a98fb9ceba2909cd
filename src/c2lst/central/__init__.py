"""The central model: how tissue looks, learnt without a single gene (paper §2.1)."""

from __future__ import annotations

from c2lst.central.model import CentralModel
from c2lst.central.settings import CentralSettings

__all__ = ["CentralModel", "CentralSettings"]
