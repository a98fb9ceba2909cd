import numpy as np
import pytest
from scipy.spatial import KDTree

from c2lst.data.readers import read
from c2lst.data.simulate import simulate_tissue

PATCH_UM = 112.0


@pytest.fixture(scope="package")
def simulated(tmp_path_factory):
    """A simulated slide, and the number of nuclei that its image shows in each patch."""
    directory = tmp_path_factory.mktemp("simulated")
    truth = simulate_tissue(directory, spots=(7, 7), genes=20, seed=11)

    def patches(size):
        section = read(directory, size=size)
        near = KDTree(truth.cells_um).query_ball_point(section.centres_um, PATCH_UM / 2, p=np.inf)
        return section.patches[np.arange(len(section))], np.array([len(cells) for cells in near])

    return patches
