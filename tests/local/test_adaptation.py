import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from c2lst.central import CentralModel
from c2lst.cli.app import app
from c2lst.diffusion.draws import Draws
from c2lst.diffusion.unet import UNetShape, build_unet
from c2lst.diffusion.weights import weights_hash
from c2lst.errors import InputError
from c2lst.local import AdapterSettings, LocalModel
from c2lst.local.adaptation import adapt
from c2lst.local.pairs import (
    ConditionalObjective,
    HeldOutObjective,
    HeldOutPairs,
    Pairs,
    drop_genes,
    held_out_spots,
)
from toy import TOML, training
from toy_training import KilledError

METHODS = [
    {"null": "learned"},
    {"null": "base"},
    {"method": "lora", "rank": 2},
    {"null": "base", "gene_dropout": 0.3},
    {"method": "lora", "gene_dropout": 0.3, "blocks": "up_blocks.*"},
]


def toy(steps=4, changes=None, **options):
    """Settings of a few steps; ``changes`` are to the training."""
    short = {"learning_rate": 1e-2, "ema_decay": 0.5} | (changes or {})
    return AdapterSettings(training(steps, **short), width=8, **options)


def both(model, size=16, seed=0):
    """Noisy images, noise levels and genes, and half of the rows without genes."""
    draw = torch.Generator().manual_seed(seed)
    noisy = torch.randn(4, 3, size, size, generator=draw)
    genes = torch.randn(4, model.config["n_genes"], generator=draw)
    return noisy, torch.tensor([3, 400, 700, 999]), genes, torch.tensor([True, False] * 2)


@pytest.mark.parametrize("options", METHODS, ids=str)
def test_adaptation_starts_at_the_central_model_and_leaves_it_alone(base, spots, options):
    before = weights_hash(base.unet)
    still, _ = adapt(base, *spots, toy(1, {"learning_rate": 0.0}, early_stop=False, **options))
    noisy, timesteps, genes, given_to = both(still)
    expected = base.unet(noisy, timesteps).sample
    assert torch.equal(still(noisy, timesteps, genes, given_to), expected)
    moved, made = adapt(base, *spots, toy(early_stop=False, **options))
    found = moved(noisy, timesteps, genes, given_to)
    assert not torch.allclose(found[given_to], expected[given_to], atol=1e-4)
    is_base = options.get("null") == "base"
    assert torch.equal(found[~given_to], expected[~given_to]) == is_base
    assert weights_hash(base.unet) == before == made["base_hash"]
    assert made["share"] == made["parameters"] / sum(p.numel() for p in base.unet.parameters())


def test_with_null_base_every_training_image_has_its_genes(base, spots):
    asked = []

    def network(noisy, timesteps, expression, given):
        asked.append(given)
        return noisy

    section, split, preprocessing = spots
    pairs = Pairs(split.training(section), preprocessing)
    batch, draws = pairs.fetch(np.arange(8)), Draws(0, 0, range(8))
    ConditionalObjective(base.process, 0)(network, batch, draws)
    ConditionalObjective(base.process, 0.5)(network, batch, Draws(0, 0, range(8)))
    assert asked[0] is None and 0 < asked[1].sum() < 8


@given(
    share=st.sampled_from([0.02, 0.2, 0.5, 0.8, 0.95]),
    positions=st.lists(st.integers(0, 10**6), min_size=2, max_size=9, unique=True),
    cut=st.integers(1, 8),
)
@settings(max_examples=30, deadline=None)
def test_which_genes_drop_depends_on_the_image_and_not_on_its_micro_batch(share, positions, cut):
    genes = torch.ones(len(positions), 50)
    whole = drop_genes(genes, share, Draws(5, 3, positions))
    first, second = positions[:cut], positions[cut:]
    parts = [
        drop_genes(genes[: len(some)], share, Draws(5, 3, some)) for some in (first, second) if some
    ]
    assert torch.equal(whole.isnan(), torch.cat(parts).isnan())


@pytest.mark.parametrize("share", [0.05, 0.3, 0.8])
def test_gene_dropout_has_its_mean_and_differs_between_images(share):
    dropped = drop_genes(torch.ones(400, 250), share, Draws(1, 0, range(400))).isnan()
    of_image = dropped.float().mean(dim=1)
    spread = min(share, 1 - share)
    assert abs(of_image.mean() - share) < 0.15 * spread
    # A uniform draw between share - spread and share + spread.
    assert abs(of_image.std() - spread / 3**0.5) < 0.2 * spread
    assert of_image.max() > share + 0.8 * spread and of_image.min() < share - 0.8 * spread


def test_gene_dropout_trains_the_mask_and_micro_batches_do_not_change_it(base, spots):
    options = {"gene_dropout": 0.3, "early_stop": False}
    whole, _ = adapt(base, *spots, toy(**options))
    parts, _ = adapt(base, *spots, toy(changes={"micro_batch": 1}, **options))
    assert whole.embedding.missing.weight.abs().max() > 1e-3
    for name, value in whole.adapter_state().items():
        torch.testing.assert_close(value, parts.adapter_state()[name], atol=2e-3, rtol=1e-3)
    plain, _ = adapt(base, *spots, toy(early_stop=False))
    assert plain.embedding.missing is None


def test_spots_that_are_held_out_are_few_and_not_learnt_from(base, spots, monkeypatch):
    section, split, preprocessing = spots
    held_out = held_out_spots(split, 0)
    assert len(held_out) == max(2, round(0.15 * len(split.train)))
    assert set(held_out) < set(split.train) and held_out_spots(split, 0) == held_out
    assert held_out_spots(split, 1) != held_out
    few = dataclasses.replace(split, train=split.train[:5])
    assert held_out_spots(few, 0) == ()
    kept = dataclasses.replace(few, val=split.train[5:8])
    assert held_out_spots(kept, 0) == split.train[5:8]
    _, made = adapt(base, *spots, toy())
    assert made["learnt_spots"] == len(split.train) - len(held_out)
    assert made["early_stop"]["held_out_spots"] == len(held_out)
    seen = []
    fetch = Pairs.fetch
    monkeypatch.setattr(Pairs, "fetch", lambda self, i: seen.append(self) or fetch(self, i))
    adapt(base, *spots, toy(2))
    learnt = [pairs for pairs in seen if len(pairs) == made["learnt_spots"]]
    rows = torch.from_numpy(preprocessing.expression(section.subset(held_out)))
    assert learnt
    assert not any((p.expression == row).all(dim=1).any() for p in learnt for row in rows)


def test_held_out_noise_levels_are_spread_evenly_and_noise_is_common(base, spots):
    section, split, preprocessing = spots
    pairs = Pairs(section.subset(split.train[:7]), preprocessing)
    held_out = HeldOutPairs(pairs, 1000)
    everything = held_out.fetch(np.arange(len(held_out)))
    per_spot = everything["timesteps"].view(7, -1)
    middle = (torch.arange(per_spot.shape[1]) + 0.5) * 1000 / per_spot.shape[1]
    assert ((per_spot - middle).abs() <= 500 / per_spot.shape[1] + 1).all()
    assert len(np.unique(np.histogram(everything["timesteps"], 4, (0, 1000))[0])) == 1
    # Spots fill the gaps of each other: as far apart as evenly spread levels, or 1.6 times that.
    gaps = np.diff(np.sort(everything["timesteps"]), prepend=0, append=1000)
    assert gaps.max() < 3 * 1000 / len(held_out)
    seen = []

    def network(noisy, timesteps, expression):
        seen.append(noisy)
        return noisy

    objective = HeldOutObjective(base.process)
    for _ in range(2):
        objective(network, everything, Draws(0, 0, range(len(held_out))))
    assert torch.equal(*seen)


def test_a_killed_adaptation_ends_like_the_uninterrupted_with_early_stop(
    base, spots, tmp_path, monkeypatch
):
    chosen = toy(20, {"checkpoint_every": 3})
    falling = adapt(base, *spots, chosen)[1]["early_stop"]["losses"]
    assert all(np.diff(falling) < 0)
    # Held-out spots that are served best by eight steps.
    held_out_loss = HeldOutObjective.__call__

    def overfitting(*arguments):
        losses = held_out_loss(*arguments)
        return (losses.mean() - falling[8]).abs().expand_as(losses)

    monkeypatch.setattr(HeldOutObjective, "__call__", overfitting)
    monkeypatch.setattr("c2lst.diffusion.stopping.BATCH", 1000)
    whole, made = adapt(base, *spots, chosen)
    assert made["early_stop"]["kept_step"] == 8 and made["early_stop"]["stopped_at"] == 12
    calls = iter(range(1000))
    original = ConditionalObjective.__call__

    def dying(*arguments):
        if next(calls) == 10:
            raise KilledError
        return original(*arguments)

    with monkeypatch.context() as patched, pytest.raises(KilledError):
        patched.setattr(ConditionalObjective, "__call__", dying)
        adapt(base, *spots, chosen, directory=tmp_path)
    with pytest.raises(InputError, match="another adapter"):
        other = dataclasses.replace(chosen, gene_dropout=0.1)
        adapt(base, *spots, other, directory=tmp_path)
    again, resumed = adapt(base, *spots, chosen, directory=tmp_path)
    assert resumed == made
    for name, value in whole.adapter_state().items():
        assert torch.equal(value, again.adapter_state()[name]), name


def test_what_cannot_be_is_refused():
    for options, problem in (
        ({"method": "lora", "null": "base"}, "not the base"),
        ({"method": "dora"}, "method"),
        ({"null": "zero"}, "null"),
        ({"gene_dropout": 1.0}, "gene_dropout"),
        ({"rank": 0}, "rank"),
        ({"components": -1}, "components"),
    ):
        with pytest.raises(InputError, match=problem):
            toy(**options)


def test_an_adapter_of_more_than_5_percent_is_refused_unless_the_model_is_small(
    spots, base, caplog, monkeypatch
):
    wide = dataclasses.replace(toy(1, early_stop=False), width=32)
    adapt(base, *spots, wide)
    assert any("small central model" in r.msg for r in caplog.records)
    monkeypatch.setattr("c2lst.local.adaptation.SMALL", 1000)
    with pytest.raises(InputError, match=r"at most 5%.*fewer blocks"):
        adapt(base, *spots, wide)


@pytest.mark.parametrize("method", ["film", "lora"])
def test_the_papers_adapter_is_at_most_5_percent(method):
    from c2lst.diffusion.film import GeneModulatedUNet
    from c2lst.settings import load_settings

    paper = load_settings("paper", options={"adapter": {"method": method}})
    with torch.device("meta"):
        unet = build_unet(UNetShape(**dataclasses.asdict(paper.central.shape)))
        model = GeneModulatedUNet(unet, **paper.adapter.network_config(250))
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained <= 0.05 * sum(p.numel() for p in unet.parameters())


@pytest.mark.parametrize("options", [{}, {"method": "lora", "rank": 1}], ids=str)
def test_a_private_adaptation_looks_at_spots_through_its_gradient_alone(base, spots, options):
    pytest.importorskip("opacus")
    private = {"epsilon": 8.0}
    network, made = adapt(base, *spots, toy(2, private=private, **options))
    assert made["early_stop"] is None and made["learnt_spots"] == made["training_spots"]
    assert made["privacy"]["epsilon"] == 8.0 and made["privacy"]["noise_multiplier"] > 0
    assert max(p.abs().max() for p in network.modulations.parameters()) > 0


def test_the_command_says_what_was_trained(base, spots, tmp_path):
    section, split, _ = spots
    section.save(tmp_path / "section")
    split.save(tmp_path / "split.json")
    base.save(tmp_path / "central")
    (tmp_path / "toy.toml").write_text(TOML)
    where = [tmp_path / "section", "--central", tmp_path / "central"]
    where += ["--split", tmp_path / "split.json", "-o", tmp_path / "adapter"]
    options = ["--preset", "tiny", "--config", tmp_path / "toy.toml", "--steps", 3, "--embed", 4]
    options += ["--null", "base", "--gene-dropout", 0.2, "--blocks", "up_blocks.*"]
    result = CliRunner().invoke(app, ["adapt", *map(str, [*where, *options])])
    assert result.exit_code == 0, result.output
    for text in ("learnt from", "held out", "of the central model", "kept", "→", "min"):
        assert text in result.output
    loaded = LocalModel.load(tmp_path / "adapter", CentralModel.load(tmp_path / "central"))
    config = {"n_genes": 12, "width": 4, "blocks": "up_blocks.*", "null": "base"}
    assert loaded.network.config == config | {"missing_mask": True, "rank": 0}
    assert loaded.provenance["early_stop"] is not None
    again = [*where[:-1], tmp_path / "to-the-end", *options, "--no-early-stop"]
    CliRunner().invoke(app, ["adapt", *map(str, again)], catch_exceptions=False)
    central = CentralModel.load(tmp_path / "central")
    whole = LocalModel.load(tmp_path / "to-the-end", central).provenance
    assert whole["early_stop"] is None and whole["learnt_spots"] == len(split.train)
    refused = ["adapt", *map(str, where), "--method", "lora", "--null", "base"]
    assert isinstance(CliRunner().invoke(app, refused).exception, InputError)


def test_spots_that_are_alike_do_not_start_the_projection_at_infinity():
    from c2lst.local.adaptation import _start_at_components

    two = np.random.default_rng(0).normal(size=(2, 12)).astype(np.float32)
    two[:, 3] = 0
    projection = torch.nn.Linear(12, 8)
    settings = AdapterSettings(training(1), width=8)
    _start_at_components(projection, np.repeat(two, 7, axis=0), settings)
    rows = projection.weight.detach()
    assert rows[0].abs().max() > 0 and rows.abs().max() < 10
    assert not rows[1:].any()
    _start_at_components(projection, np.zeros((7, 12), np.float32), settings)
    assert not projection.weight.any()


def test_the_projection_starts_at_directions_of_one_variance_that_do_not_vary_together():
    from c2lst.local.adaptation import _start_at_components

    rng = np.random.default_rng(0)
    expression = (rng.normal(size=(40, 12)) * np.logspace(0, 2, 12)).astype(np.float32)
    projection = torch.nn.Linear(12, 8)
    _start_at_components(
        projection, expression, AdapterSettings(training(1), width=8, components=5)
    )
    seen = projection(torch.from_numpy(expression)).detach().numpy()
    np.testing.assert_allclose(np.cov(seen[:, :5].T), np.eye(5), atol=1e-3)
    assert not seen[:, 5:].any()
