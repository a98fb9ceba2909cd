"""The order of the data: every epoch a fresh permutation, of which nothing is stored.

A permutation of {0 … N - 1} is computed element by element: a number is written with two digits
l, r in the mixed radix (a, b), a·b ≥ N, and each round of a Feistel network adds to one digit a
keyed hash of the other, which is a bijection whatever the hash (Black & Rogaway 2002). Results
outside {0 … N - 1} are put through again until they are inside ("cycle walking"); since
a·b < N + 2·√N + 1, that is rare. So a step costs what its batch costs, at any size of collection.
"""

from __future__ import annotations

import math

import numpy as np

# From 20 on, the 120 orders of five samples are alike frequent; with 12 they are not quite.
ROUNDS = 20


class DataOrder:
    """The endless stream of samples of a training: position → index of the sample.

    Parameters
    ----------
    length
        Number of samples N. Positions N·e … N·e + N - 1 are epoch e and hold every sample once.
    seed
        The order depends on it, the epoch and N alone: not on batches or processes.
    """

    def __init__(self, length: int, seed: int) -> None:
        self.length = length
        self._a = math.isqrt(max(0, length - 1)) + 1
        self._b = -(-length // self._a)
        self._key = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]

    def indices(self, positions: np.ndarray) -> np.ndarray:
        """Return the sample at each position of the stream, int64 of the same shape."""
        epochs, places = np.divmod(np.asarray(positions, dtype=np.int64), self.length)
        keys = _hash(epochs.astype(np.uint64) ^ self._key)
        indices = self._permute(places, keys)
        while (outside := indices >= self.length).any():
            indices[outside] = self._permute(indices[outside], keys[outside])
        return indices

    def _permute(self, values: np.ndarray, keys: np.ndarray) -> np.ndarray:
        left, right = np.divmod(values, self._b)
        for number in range(0, ROUNDS, 2):
            left = (left + _digit(right, keys, number, self._a)) % self._a
            right = (right + _digit(left, keys, number + 1, self._b)) % self._b
        return left * self._b + right


def _digit(digit: np.ndarray, keys: np.ndarray, number: int, radix: int) -> np.ndarray:
    """Return a keyed hash of ``digit`` in [0, radix)."""
    mixed = _hash(_hash(keys + np.uint64(number)) ^ digit.astype(np.uint64))
    return (mixed % np.uint64(radix)).astype(np.int64)


def _hash(values: np.ndarray) -> np.ndarray:
    """Scramble 64-bit integers one to one (the finaliser of SplitMix64)."""
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))
