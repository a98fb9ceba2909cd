import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from c2lst.data.synthetic import SyntheticPairs
from c2lst.study.arms import first_of_each
from c2lst.study.pool import joined


def pool(spots, each, first):
    count = spots * each
    return SyntheticPairs(
        images=np.zeros((count, 2, 2, 3), dtype=np.uint8),
        scaled=np.zeros((count, 1)),
        lognorm=np.zeros((count, 1)),
        source_barcodes=np.repeat([f"s{i}" for i in range(spots)], each),
        seeds=first + np.arange(count),
        guidance_scale=1.0,
        sampler="fast",
        provenance={"first": first},
    )


@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 4))
def test_a_pool_that_grew_begins_with_what_it_was(spots, each, more):
    before, new = pool(spots, each, 0), pool(spots, more, 1000)
    grown = joined(before, new, spots)
    assert len(grown) == spots * (each + more)
    begin = first_of_each(grown, each, spots)
    assert begin.seeds.tolist() == before.seeds.tolist()
    assert begin.source_barcodes.tolist() == before.source_barcodes.tolist()
    for spot in range(spots):
        assert (grown.source_barcodes == f"s{spot}").sum() == each + more
    assert sorted(grown.seeds) == sorted([*before.seeds, *new.seeds])
