"""Smooth random fields: on a grid over the slide, and at given positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FloatArray = np.ndarray


@dataclass(frozen=True)
class Field:
    """A scalar field on a regular grid, read anywhere by bilinear interpolation.

    Attributes
    ----------
    values
        (rows, columns) float32; the value at the centre of each grid cell.
    step_um
        Edge of a grid cell in µm.
    """

    values: FloatArray
    step_um: float

    def at(self, points_um: FloatArray) -> FloatArray:
        """Values at ``points_um``, (n, 2) as (x, y) in µm; the border value is held outside."""
        row, down = self._cell(points_um[:, 1], 0)
        column, right = self._cell(points_um[:, 0], 1)
        v = self.values
        above = v[row, column] * (1 - right) + v[row, column + 1] * right
        below = v[row + 1, column] * (1 - right) + v[row + 1, column + 1] * right
        return above * (1 - down) + below * down

    def on_pixels(self, x_um: FloatArray, y_um: FloatArray) -> FloatArray:
        """Values on the raster of ``y_um`` (rows) by ``x_um`` (columns), float32."""
        row, down = self._cell(y_um, 0)
        column, right = self._cell(x_um, 1)
        lines = self.values[row] * (1 - down)[:, None] + self.values[row + 1] * down[:, None]
        slopes = lines[:, 1:] - lines[:, :-1]
        return lines[:, column] + slopes[:, column] * right

    def gradient(self) -> tuple[Field, Field]:
        """Return the derivatives along x and along y, per µm."""
        along_y, along_x = np.gradient(self.values, self.step_um)
        return Field(along_x, self.step_um), Field(along_y, self.step_um)

    def _cell(self, position_um: FloatArray, axis: int) -> tuple[np.ndarray, FloatArray]:
        last = self.values.shape[axis] - 1
        place = np.clip(np.asarray(position_um) / self.step_um - 0.5, 0, last)
        cell = np.minimum(place.astype(np.intp), last - 1)
        return cell, (place - cell).astype(np.float32)


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], sigma: float | tuple[float, float]
) -> FloatArray:
    """White noise under a Gaussian filter, zero mean and unit variance, periodic; float32.

    ``sigma`` is the filter's width in pixels, for both axes or (rows, columns).
    """
    from scipy.ndimage import gaussian_filter

    noise = rng.standard_normal(shape, dtype=np.float32)
    noise = gaussian_filter(noise, sigma, mode="wrap")
    return (noise - noise.mean()) / noise.std()


def random_field(
    rng: np.random.Generator, extent_um: tuple[float, float], scale_um: float, step_um: float
) -> Field:
    """Draw a unit Gaussian field over a slide of ``extent_um`` (width, height).

    Its covariance falls with distance d as exp(-d²/2·scale_um²): filtering white noise by a
    Gaussian of width s gives a covariance of width s·√2.
    """
    sigma = scale_um / np.sqrt(2) / step_um
    # The pad keeps the periodic filter from tying opposite edges of the slide to each other, and
    # a small slide from being standardised to its own few wavelengths.
    pad = int(np.ceil(3 * sigma))
    rows, columns = (max(2, round(length / step_um)) for length in extent_um[::-1])
    noise = smooth_noise(rng, (rows + 2 * pad, columns + 2 * pad), sigma)
    return Field(noise[pad : pad + rows, pad : pad + columns], step_um)


def fields_at_points(
    rng: np.random.Generator, points_um: FloatArray, scale_um: float, count: int
) -> FloatArray:
    """Draw ``count`` independent Gaussian fields at ``points_um`` (n, 2); returns (n, count).

    Random Fourier features of the squared-exponential covariance (Rahimi and Recht, NIPS 2007):
    a cost linear in the number of points.
    """
    waves = 256
    fields = np.empty((len(points_um), count))
    for k in range(count):
        frequency = rng.standard_normal((2, waves)) / scale_um
        phase = rng.uniform(0, 2 * np.pi, waves)
        amplitude = rng.standard_normal(waves) * np.sqrt(2 / waves)
        fields[:, k] = np.cos(points_um @ frequency + phase) @ amplitude
    return fields
