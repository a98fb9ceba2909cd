import shutil

import numpy as np
import pytest

from c2lst.diffusion.draws import mix_seed
from c2lst.errors import InputError
from c2lst.explorer import Choice, Explorer
from c2lst.explorer import session as module
from c2lst.local import SynthesisSettings


def test_moving_nothing_changes_no_pixel_and_draws_each_noise_once(explorer, painter):
    view = explorer.view(Choice(explorer.spots[0], noises=3))
    assert painter.drawn == 3
    assert (view.own == view.moved).all() and view.pixels == 0
    assert (view.difference == 128).all()
    assert view.outside == view.below_zero == ()


def test_own_and_moved_share_their_noises(explorer):
    blue = explorer.handles.genes[0]
    view = explorer.view(Choice(explorer.spots[3], {blue: 1.0}, noises=4))
    _, own, moved = view.measures["haematoxylin"]
    assert moved - own == pytest.approx(0.1, rel=0.05)
    # Uncommon noise would move every pixel by its own amount, up and down.
    assert (view.moved.astype(int) <= view.own).all() and view.pixels > 1
    assert view.own.shape == (4, 16, 16, 3) and view.difference.dtype == np.uint8


def test_noises_are_those_of_a_sweep(explorer, painter):
    view = explorer.view(Choice(explorer.spots[1], seed=7, noises=2))
    seeds = [mix_seed(7, 0), mix_seed(7, 1)]
    expected = painter.draw(explorer.profiles[[1, 1]], seeds, SynthesisSettings())
    assert (view.own == expected).all()


def test_what_was_drawn_is_kept_and_only_what_is_new_is_drawn(explorer, painter):
    gene, spot = explorer.handles.genes[0], explorer.spots[0]
    explorer.view(Choice(spot, {gene: 1.0}, noises=2))
    assert painter.drawn == 4
    explorer.view(Choice(spot, {gene: 1.0}, noises=2))
    assert painter.drawn == 4
    explorer.view(Choice(spot, {gene: 2.0}, noises=2))  # the spot's own is there
    assert painter.drawn == 6
    explorer.view(Choice(spot, {gene: 2.0}, noises=2, guidance=1.0))
    assert painter.drawn == 10


def test_memory_is_bounded(explorer, painter, monkeypatch):
    monkeypatch.setattr(module, "KEPT_IMAGES", 5)
    for spot in explorer.spots[:6]:
        explorer.view(Choice(spot, noises=2))
    assert len(explorer._images) == 5
    view = explorer.view(Choice(explorer.spots[0], noises=4))  # more than half of what is kept
    assert view.own.shape[0] == 4


def test_real_patches_are_the_spots_own(explorer, painter):
    for row in (0, 5, len(explorer.spots) - 1):
        view = explorer.view(Choice(explorer.spots[row], noises=1))
        assert (view.real == explorer.real[row]).all()


def test_reach_ends_at_the_outermost_spots(explorer):
    spot = explorer.spots[2]
    for handle in (explorer.handles.names[0], explorer.handles.genes[1]):
        low, high = explorer.reach(handle, spot)
        assert low <= 0 <= high
        for steps, beyond in (
            (low, ()),
            (high, ()),
            (low - 0.1, (handle,)),
            (high + 0.1, (handle,)),
        ):
            found = explorer.view(Choice(spot, {handle: steps}, noises=1)).outside
            assert found == beyond, (handle, steps)


def test_a_gene_below_zero_counts_is_named(explorer):
    gene = explorer.handles.genes[4]
    view = explorer.view(Choice(explorer.spots[0], {gene: -50.0}, noises=1))
    assert view.below_zero == (gene,)


def test_the_most_average_spot_is_that_of_a_sweep(explorer):
    norms = np.linalg.norm(explorer.profiles, axis=1)
    assert explorer.index(explorer.most_average()) == norms.argmin()


def test_a_score_is_standardised(explorer):
    values = explorer.score(explorer.handles.names[0])
    assert abs(values.mean()) < 1e-5 and values.std() == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spot": "nowhere"}, "is not a training spot"),
        ({"moves": {"ERBB99": 1.0}}, "neither a gene"),
        ({"noises": 0}, "at least one"),
        ({"sampler": "slow"}, "unknown name"),
        ({"guidance": -1.0}, "scale"),
    ],
)
def test_impossible_choices_are_refused(explorer, change, message):
    with pytest.raises(InputError, match=message):
        explorer.view(Choice(**{"spot": explorer.spots[0]} | change))


def test_a_run_and_its_adapter_open_alike(toy):
    run, adapter = (
        Explorer.open(
            toy.folder / place,
            section=toy.folder / "section",
            split=toy.folder / "split.json",
            central=toy.folder / "central",
        )
        for place in (".", "adapter")
    )
    assert run.spots == adapter.spots == list(toy.split.train)
    choice = Choice(run.spots[0], {run.handles.names[0]: 1.0}, noises=1)
    assert (run.view(choice).moved == adapter.view(choice).moved).all()


def test_a_run_needs_no_notes_of_its_adapter(toy, tmp_path):
    shutil.copytree(toy.folder, tmp_path / "run")
    (tmp_path / "run" / "adapter" / "sources.json").unlink(missing_ok=True)
    opened = Explorer.open(tmp_path / "run")
    assert opened.spots == list(toy.split.train)


def test_folders_that_hold_no_adapter_are_refused(tmp_path, toy):
    with pytest.raises(InputError, match="no such folder"):
        Explorer.open(tmp_path / "nothing")
    with pytest.raises(InputError, match="holds no adapter"):
        Explorer.open(toy.folder / "section")
