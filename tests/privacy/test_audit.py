import dataclasses

import numpy as np
import pytest
import torch

from c2lst.data.split import SpotSplit
from c2lst.diffusion.noise import to_unit_range
from c2lst.errors import InputError
from c2lst.privacy import PrivacyAudit, audit
from c2lst.privacy.card import as_markdown
from c2lst.privacy.intervals import Interval
from c2lst.privacy.membership import Attack, loss_attacks
from c2lst.privacy.spots import AuditSpots


def run(lab, **options):
    return audit(lab.section, lab.split, lab.local.preprocessing, encoder="random", **options)


@pytest.fixture(scope="module")
def pairs(lab):
    from c2lst.data.synthetic import SyntheticPairs

    return SyntheticPairs.load(lab.pairs)


def showing(lab, pairs, part):
    """The pairs with images of real spots in the place of the synthetic ones."""
    section = lab.split.part(lab.section, part)
    images = lab.local.preprocessing.images(section)
    return dataclasses.replace(pairs, images=images[np.arange(len(pairs)) % len(images)])


def test_a_generator_of_training_images_fails(lab, pairs):
    found, gallery = run(lab, pairs=showing(lab, pairs, "train"))
    assert found.verdict == "fail" and all(c.verdict == "fail" for c in found.copying)
    assert any("near copies" in reason for reason in found.reasons)
    assert gallery.dtype == np.uint8 and gallery.ndim == 3


def test_a_split_that_holds_nothing_out_cannot_be_audited(lab):
    every = SpotSplit.draw(lab.section, scheme="all")
    with pytest.raises(InputError, match="no audit can be made"):
        AuditSpots.choose(lab.section, every, None)


def test_held_out_like_images_do_not_fail(lab, pairs):
    found, _ = run(lab, pairs=showing(lab, pairs, "test"))
    assert all(c.verdict != "fail" and c.near_copies == 0 for c in found.copying)


def test_an_adapter_that_learnt_nothing_is_not_told_from_its_central_model(lab):
    found, _ = run(lab, model=lab.local)
    assert found.subject == "adapter" and found.profiles is None
    assert [a.verdict for a in found.membership] != ["fail", "fail"]
    assert all(a.auc.low < 0.55 for a in found.membership)


class Memorising(torch.nn.Module):
    """A network that knows the colour of the spots that it was trained on, by their genes."""

    def __init__(self, central, images, expression):
        super().__init__()
        self.unet, self.expression = central.unet, torch.from_numpy(expression)
        self.colours = to_unit_range(torch.from_numpy(images)).mean((2, 3), keepdim=True)
        self.alphas, self.sigmas = central.process.alphas_sigmas()

    def forward(self, noisy, timesteps, expression, given=None):
        output = self.unet(noisy, timesteps).sample
        distance, row = torch.cdist(expression, self.expression).min(1)
        alpha, sigma = (a[timesteps].view(-1, 1, 1, 1) for a in (self.alphas, self.sigmas))
        velocity = (alpha * noisy - self.colours[row]) / sigma
        # A colour says little of an image that is hardly noisy.
        known = (distance < 1e-3).view(-1, 1, 1, 1) & (sigma > 0.5)
        return torch.where(known, 0.7 * output + 0.3 * velocity, output)


def test_an_overfitted_adapter_is_found_out(lab):
    training = lab.split.training(lab.section)
    fitted = lab.local.preprocessing
    network = Memorising(lab.local.central, fitted.images(training), fitted.expression(training))
    chosen = AuditSpots.choose(lab.section, lab.split, None)
    rows = np.concatenate([chosen.training, chosen.held_out])
    spots = lab.section.subset(lab.section.barcodes[rows])
    alone, calibrated = loss_attacks(
        dataclasses.replace(lab.local, network=network),
        fitted.images(spots),
        fitted.expression(spots),
        np.arange(len(spots)) < len(chosen.training),
    )
    assert calibrated.auc.low > 0.8 and calibrated.verdict == "fail"
    assert alone.auc.value > 0.5
    assert calibrated.at_10_percent > 0.5


def test_measured_profiles_are_named(lab):
    from c2lst.local import SynthesisSettings

    real = lab.local.synthesize(lab.section, lab.split, SynthesisSettings(per_spot=1))
    found, _ = run(lab, pairs=real)
    assert found.carried == 1 and found.verdict == "fail"
    assert any("measured expression profiles themselves" in reason for reason in found.reasons)


def test_mixed_profiles_are_called_near(lab, pairs):
    found, _ = run(lab, pairs=pairs)
    assert found.carried < 0.2
    assert any("profiles made from them" in s or "carries" in s for _, s in found.findings)


def test_too_few_spots_are_no_pass(lab, pairs):
    found, _ = run(lab, pairs=pairs)
    chance = Interval(0.5, 0.45, 0.55)
    copying = tuple(dataclasses.replace(c, nearer=chance, near_copies=0) for c in found.copying)
    attack = Attack("distance", chance, None, None, 50, 50)
    good = dataclasses.replace(found, copying=copying, profiles=attack, carried=0.0)
    assert good.verdict == "pass" and good.reasons == []
    few = dataclasses.replace(good, held_out=4)
    assert few.verdict == "undecided" and "too few" in few.reasons[0]
    bad = dataclasses.replace(few, carried=0.5)
    assert bad.verdict == "fail"


def test_an_audit_comes_back_from_its_file(lab, pairs, tmp_path):
    found, _ = run(lab, pairs=pairs, model=lab.local)
    found.save(tmp_path / "privacy.json")
    assert PrivacyAudit.load(tmp_path / "privacy.json") == found
    (tmp_path / "other.json").write_text('{"format": 1, "verdict": "pass", "findings": []}')
    with pytest.raises(InputError, match="no privacy audit"):
        PrivacyAudit.load(tmp_path / "other.json")


def test_spots_that_only_stopped_the_training_count_on_neither_side(lab):
    from c2lst.local.pairs import held_out_spots

    model = dataclasses.replace(
        lab.local, provenance=lab.local.provenance | {"early_stop": {"kept_step": 1}}
    )
    watched = held_out_spots(lab.split, 0)
    chosen = AuditSpots.choose(lab.section, lab.split, model)
    compared = lab.section.barcodes[np.concatenate([chosen.training, chosen.held_out])]
    assert watched and not set(watched) & set(compared)
    assert len(chosen.training) == len(lab.split.train) - len(watched)


def test_held_out_patches_that_share_pixels_are_set_aside_or_told(lab, monkeypatch):
    """Spots of a square array of 200 µm: patches of 250 µm overlap with their neighbours."""
    wide = dataclasses.replace(
        lab.section, patches=dataclasses.replace(lab.section.patches, patch_um=250.0)
    )
    places = wide.centres_um
    training, held_out = (wide.indices_of(part) for part in (lab.split.train, lab.split.test))
    apart = np.abs(places[held_out, None] - places[training]).max(2).min(1) >= 250
    told = AuditSpots.choose(wide, lab.split, None)
    assert told.overlapping == (~apart).sum() > 0 and told.set_aside == 0
    monkeypatch.setattr("c2lst.privacy.spots.ENOUGH", 0)
    aside = AuditSpots.choose(wide, lab.split, None)
    assert aside.overlapping == 0 and aside.set_aside == told.overlapping
    np.testing.assert_array_equal(aside.held_out, held_out[apart])


def test_nothing_to_audit_and_other_splits_are_refused(lab):
    from c2lst.data.split import SpotSplit

    with pytest.raises(InputError, match="nothing to audit"):
        run(lab)
    other = SpotSplit.draw(lab.section, fraction=0.5, seed=9)
    with pytest.raises(InputError, match="training spots"):
        audit(lab.section, other, lab.local.preprocessing, model=lab.local, encoder="random")


def test_a_private_adapter_does_not_make_the_profiles_of_its_pairs_private(lab, pairs):
    found, _ = run(lab, pairs=pairs, model=lab.local)
    private = {"epsilon": 1.0, "delta": 1e-3}
    of_pairs = as_markdown(dataclasses.replace(found, private=private))
    of_adapter = as_markdown(dataclasses.replace(found, private=private, subject="adapter"))
    assert "nor the profiles in this set" in of_pairs
    assert "profiles" not in of_adapter.split("differential privacy")[1].split("\n")[0]
    assert "SHA-256 of section and split are not covered" in of_adapter
