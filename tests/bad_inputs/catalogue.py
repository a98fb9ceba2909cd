"""Every malformed input that c2lst is known to refuse well."""

from __future__ import annotations

from bad_inputs import collections, hest, legacy, others, spaceranger, xenium

CATALOGUE = [
    *legacy.CASES,
    *spaceranger.CASES,
    *xenium.CASES,
    *hest.CASES,
    *others.CASES,
    *collections.CASES,
]
