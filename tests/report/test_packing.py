from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.report.packing import LARGEST_TEXT, SPOT_TEXT, Packed, most_genes, pack, text_length
from c2lst.report.page import LARGEST_MB


def measured(seed: int, spots: int, genes: int, missing: float) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.01, 8, size=genes)
    values = [scale * rng.normal(size=(spots, genes)) for _ in range(4)]
    values[0][rng.random((spots, genes)) < missing] = np.nan
    return values


@given(
    seed=st.integers(0, 1000),
    spots=st.integers(1, 30),
    genes=st.integers(1, 6),
    missing=st.sampled_from([0.0, 0.3, 1.0]),
    bits=st.sampled_from([8, 16]),
)
def test_values_come_back_within_half_a_step(
    seed: int, spots: int, genes: int, missing: float, bits: int
) -> None:
    values = measured(seed, spots, genes, missing)
    packed = pack(values, bits)
    expected = np.stack([v.T for v in values], axis=1)
    back = packed.unpack()
    np.testing.assert_array_equal(np.isnan(back), np.isnan(expected))
    assert np.nanmax(np.abs(back - expected) - packed.step[:, None, None] / 2) < 1e-9
    reach = np.nanmax(expected, axis=(1, 2)) - np.nanmin(expected, axis=(1, 2))
    np.testing.assert_allclose(packed.step * (2**bits - 2), reach, atol=1e-12)


def test_sixteen_bits_keep_the_two_decimals_that_the_page_shows() -> None:
    values = [np.random.default_rng(0).uniform(0, 9, size=(100, 3)) for _ in range(4)]
    assert pack(values, 16).step.max() < 0.001


@pytest.mark.parametrize("bits", [8, 16])
def test_text_holds_the_levels_lower_byte_first(bits: int) -> None:
    packed = pack(measured(1, 7, 3, 0.2), bits)
    raw = np.frombuffer(base64.b64decode(packed.text), dtype=f"<u{bits // 8}")
    np.testing.assert_array_equal(raw.reshape(packed.levels.shape), packed.levels)
    assert len(packed.text) == text_length(7, 3, 4, bits)


def test_constant_and_unmeasured_genes() -> None:
    values = np.column_stack([np.full(5, 2.5), np.full(5, np.nan)])
    back = pack([values], 8).unpack()
    np.testing.assert_array_equal(back[0], np.full((1, 5), 2.5))
    assert np.isnan(back[1]).all()


def test_infinite_values_are_missing() -> None:
    back = pack([np.array([[1.0], [np.inf], [2.0]])], 8).unpack()
    np.testing.assert_allclose(back[0, 0], [1, np.nan, 2])


def test_a_large_section_fits_with_all_its_genes() -> None:
    assert most_genes(5000, 250, 4) == (250, 8)
    assert text_length(5000, 250, 4, 8) + 5000 * SPOT_TEXT <= LARGEST_TEXT < LARGEST_MB * 1e6 / 2
    assert most_genes(2000, 250, 4) == (250, 16)


@given(
    spots=st.integers(1, 10**7), genes=st.integers(1, 20_000), quantities=st.sampled_from([2, 4])
)
def test_what_is_kept_fits_and_one_gene_more_would_not(
    spots: int, genes: int, quantities: int
) -> None:
    kept, bits = most_genes(spots, genes, quantities)
    assert 0 <= kept <= genes
    room = LARGEST_TEXT - spots * SPOT_TEXT
    assert kept == 0 or text_length(spots, kept, quantities, bits) <= room
    if kept < genes:
        assert bits == 8
        assert text_length(spots, kept + 1, quantities, 8) > room - 4


def test_packing_is_deterministic() -> None:
    first, second = (pack(measured(3, 20, 4, 0.1), 16) for _ in range(2))
    assert isinstance(first, Packed)
    assert first.text == second.text
