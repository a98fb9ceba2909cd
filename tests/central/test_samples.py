import numpy as np
import pytest

from c2lst.central.samples import write_samples, write_sheet
from c2lst.errors import InputError


class Model:
    """Draws image i of seed s in the colour (i, s, 0); dies when asked for ``fatal``."""

    hash = "a" * 64

    def __init__(self, fatal=None):
        self.fatal, self.drawn = fatal, []

    def sample(self, images, *, seed, sampler, batch_size):
        numbers = range(images) if isinstance(images, int) else images
        assert isinstance(images, int) or len(images) <= batch_size
        if self.fatal in numbers:
            raise KeyboardInterrupt
        self.drawn += numbers
        found = np.zeros((len(numbers), 4, 4, 3), dtype=np.uint8)
        found[..., 0] = np.array(numbers)[:, None, None]
        found[..., 1] = seed
        return found


class Processes:
    def __init__(self, index=0, count=1):
        self.index, self.count, self.is_main = index, count, index == 0

    def share(self, size):
        return np.arange(self.index, size, self.count)

    def main_first(self, call):
        return call()

    def total(self, values):
        return values


REQUEST = {"seed": 3, "sampler": "fast", "batch_size": 2}


def pixels(path):
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image)[0, 0].tolist()


def test_each_image_has_its_number_whoever_draws_it(tmp_path):
    for index in (1, 0):
        write_samples(Model(), tmp_path, 5, Processes(index, 2), **REQUEST)
    files = sorted(tmp_path.glob("0*.png"))
    assert [f.name for f in files] == [f"{n:06d}.png" for n in range(5)]
    assert [pixels(f) for f in files] == [[n, 3, 0] for n in range(5)]
    assert (tmp_path / "sheet.png").is_file()


def test_an_interrupted_request_draws_only_what_is_missing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write_samples(Model(fatal=2), tmp_path, 5, Processes(), **REQUEST)
    model = Model()
    write_samples(model, tmp_path, 5, Processes(), **REQUEST)
    assert model.drawn == [2, 3, 4]


@pytest.mark.parametrize("change", [{"seed": 4}, {"sampler": "paper"}])
def test_images_of_two_requests_are_not_mixed(tmp_path, change):
    write_samples(Model(), tmp_path, 2, Processes(), **REQUEST)
    with pytest.raises(InputError, match=next(iter(change))):
        write_samples(Model(), tmp_path, 2, Processes(), **REQUEST | change)


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(InputError, match="not empty"):
        write_samples(Model(), tmp_path, 2, Processes(), **REQUEST)


def test_a_sheet_is_one_picture(tmp_path):
    write_sheet(Model(), tmp_path / "sheet.png", 4, **REQUEST)
    assert [p.name for p in tmp_path.iterdir()] == ["sheet.png"]
