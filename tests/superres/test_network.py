"""The network: sizes, what its parts do, and what leaving them out does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import avg_pool2d

from c2lst.errors import InputError
from c2lst.superres.blocks import CrossAttention, Modulation, disentangling_loss
from c2lst.superres.network import Condition, SuperresNetwork, count_parameters
from c2lst.superres.presets import load_settings
from c2lst.superres.settings import ABLATIONS, Components, SuperresSettings

GENES = 4


def network(settings, **changes) -> SuperresNetwork:
    torch.manual_seed(0)
    built = SuperresNetwork(GENES, replace(settings, **changes))
    for parameter in built.parameters():  # nothing starts at zero
        parameter.data += 0.02 * torch.randn_like(parameter)
    return built.eval()


def condition(settings, batch: int = 2) -> Condition:
    torch.manual_seed(1)
    side = settings.hr_size * settings.image_px
    return Condition(
        torch.randn(batch, GENES, settings.lr_size, settings.lr_size),
        torch.rand(batch, 3, side, side) * 2 - 1,
        torch.rand(batch, 3, settings.crop_px, settings.crop_px) * 2 - 1,
    )


def run(net, settings, given=None):
    torch.manual_seed(2)
    noisy = torch.randn(2, GENES, settings.hr_size, settings.hr_size)
    with torch.no_grad():
        return net(noisy, torch.tensor([3, 700]), given or condition(settings))


def test_the_published_size():
    settings = load_settings("paper")
    assert (settings.hr_size, settings.lr_size, settings.crops) == (256, 26, 256)
    assert load_settings("paper", scale=5).hr_size == 128
    with torch.device("meta"):
        parameters = count_parameters(SuperresNetwork(25, settings))
    assert parameters == pytest.approx(13.4e6, rel=0.05)


def test_targets_and_variances_have_the_shape_of_the_map(settings):
    said = run(network(settings), settings)
    shape = (2, GENES, settings.hr_size, settings.hr_size)
    assert said.target.shape == said.variance.shape == shape
    assert said.disentangling.shape == (2,) and (said.disentangling >= 0).all()


@pytest.mark.parametrize("ablation", sorted(ABLATIONS))
def test_each_ablation_changes_the_network(settings, ablation):
    parts = Components.without([ablation])
    full, other = network(settings), network(settings, components=parts)
    if ablation == "no-curriculum":  # a matter of training
        assert parts.curriculum is False
        return
    assert count_parameters(other) < count_parameters(full)
    assert not torch.allclose(run(other, settings).target, run(full, settings).target)


@pytest.mark.parametrize(
    ("ablation", "changed", "unused"),
    [("lr-only", "spots", ("image", "cells")), ("image-only", "image", ("spots",))],
)
def test_a_condition_that_is_left_out_is_not_used(settings, ablation, changed, unused):
    net = network(settings, components=Components.without([ablation]))
    given = condition(settings)
    before = run(net, settings, given).target
    for name in unused:
        given = given._replace(**{name: torch.zeros_like(getattr(given, name))})
    assert torch.equal(run(net, settings, given).target, before)
    given = given._replace(**{changed: torch.zeros_like(getattr(given, changed))})
    assert not torch.allclose(run(net, settings, given).target, before)


@pytest.mark.parametrize("part", ["spots", "image", "cells"])
def test_each_condition_is_used(settings, part):
    net, given = network(settings), condition(settings)
    other = given._replace(**{part: getattr(given, part) * 0.5})
    assert not torch.equal(run(net, settings, given).target, run(net, settings, other).target)


def test_checkpointing_changes_memory_not_gradients(settings):
    gradients = []
    for checkpointing in (False, True):
        net = network(settings, checkpointing=checkpointing).train()
        noisy = torch.ones(2, GENES, settings.hr_size, settings.hr_size)
        said = net(noisy, torch.tensor([3, 700]), condition(settings))
        (said.target.square().mean() + said.disentangling.mean()).backward()
        gradients.append([p.grad for p in net.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert (one is None and other is None) or torch.allclose(one, other, atol=1e-6)


def test_it_runs_in_bf16(settings):
    with torch.autocast("cpu", torch.bfloat16):
        assert run(network(settings), settings).target.isfinite().all()


def test_attention_is_that_of_its_formula():
    torch.manual_seed(0)
    attention = CrossAttention(8, 6).double()
    asking, told = torch.randn(1, 8, 3, 3).double(), torch.randn(1, 6, 2, 2).double()
    q, k, v = (layer(x).flatten(2)[0].T for layer, x in (
        (attention.q, asking), (attention.k, told), (attention.v, told)))  # fmt: skip
    read = torch.softmax(q @ k.T / 8**0.5, dim=-1) @ v
    assert torch.allclose(attention(asking, told), attention.out(read.T.reshape(1, 8, 3, 3)))


def test_repeated_keys_change_nothing():
    attention = CrossAttention(8, 8)
    asking, told = torch.randn(1, 8, 4, 4), torch.randn(1, 8, 2, 2)
    repeated = told.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert torch.allclose(attention(asking, told), attention(asking, repeated), atol=1e-6)


def test_modulation_stays_within_its_windows_and_keeps_their_sums():
    torch.manual_seed(0)
    modulation = Modulation(2)
    image, spots = torch.randn(1, 4, 4, 4), torch.randn(1, 4, 4, 4)
    before = [part.clone() for part in modulation(image, spots)]
    other = image.clone()
    other[..., 2:, 2:] += 1
    after = modulation(other, spots)
    for one, two in zip(before, after, strict=True):
        assert torch.equal(one[..., :2, :], two[..., :2, :])
    assert not torch.equal(before[1], after[1])
    # A tenth of each place is shared out over its window, whose sum stays.
    for one, two in zip(before, (image, spots), strict=True):
        assert torch.allclose(avg_pool2d(one, 2), avg_pool2d(two, 2), atol=1e-6)
        assert (one - 0.9 * two).abs().max() < 1


def test_the_disentangling_loss_is_finite_where_distinct_parts_coincide():
    same = torch.ones(2, 3, 4, 4)
    assert torch.equal(disentangling_loss((same, same), (same, same)), torch.zeros(2))
    assert disentangling_loss((same, same), (same * 2, same)).isfinite().all()
    far = disentangling_loss((same, same), (same * 2, same * 5))
    assert (far < disentangling_loss((same, same), (same * 2, same * 2))).all()


@pytest.mark.parametrize("scale", [2, 3, 5, 10])
def test_any_scale_has_windows(scale):
    settings = load_settings("tiny", scale=scale, crop_px=8, width=16)
    assert settings.hr_size <= settings.lr_size * scale
    run(network(settings), settings)


def test_settings_are_written_and_read_again(settings):
    import json

    changed = replace(settings, components=Components.without(["no-graph"]))
    assert SuperresSettings.from_dict(json.loads(json.dumps(changed.to_dict()))) == changed


@pytest.mark.parametrize("damaged", ["abc", 3, {"training": 1}])
def test_settings_that_are_none_are_refused(damaged):
    with pytest.raises(InputError, match="cannot be read"):
        SuperresSettings.from_dict(damaged)


def test_what_leaves_nothing_is_refused():
    with pytest.raises(InputError, match="neither spots nor image"):
        Components.without(["lr-only", "image-only"])
    with pytest.raises(InputError, match="unknown name"):
        Components.without(["no-such"])
    with pytest.raises(InputError, match="cell crops do not fill"):
        load_settings("tiny", crop_px=7)
