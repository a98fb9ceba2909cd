"""Collections of unlabelled H&E patches, for the central model.

``collect`` reads sources (:mod:`c2lst.data.collections.sources`) into Parquet shards, without
copies and split by group; ``open_collection`` gives the patches to training, one by one.
"""

from __future__ import annotations

from c2lst.data.collections.collection import PatchCollection, open_collection
from c2lst.data.collections.store import StoredCollection

__all__ = ["PatchCollection", "StoredCollection", "open_collection"]
