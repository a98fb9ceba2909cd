import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.checkpoint import checkpoint

from c2lst.diffusion.film import GeneModulatedUNet
from c2lst.diffusion.unet import UNetShape, build_unet
from c2lst.diffusion.weights import weights_hash
from c2lst.errors import InputError

GENES = 6
KINDS = [
    {},
    {"null": "base"},
    {"missing_mask": True},
    {"null": "base", "missing_mask": True},
    {"rank": 2},
    {"rank": 2, "blocks": "up_blocks.*"},
]


@pytest.fixture(scope="module")
def central():
    torch.manual_seed(0)
    return build_unet(UNetShape(16, (8, 16), layers=1, groups=4)).eval()


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    noisy = torch.randn(3, 3, 16, 16, generator=generator)
    return noisy, torch.tensor([1, 500, 999]), torch.randn(3, GENES, generator=generator)


def perturbed(central, **options):
    torch.manual_seed(3)
    model = GeneModulatedUNet(central, GENES, 8, **options)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for value in model.adapter_state().values():
            value.add_(0.1 * torch.randn(value.shape, generator=generator))
    return model


def some_missing(genes):
    return genes.masked_fill(torch.arange(GENES) % 2 == 0, torch.nan)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_an_untrained_local_model_is_the_central_model_bit_for_bit(central, batch, kind):
    noisy, timesteps, genes = batch
    model = GeneModulatedUNet(central, GENES, 8, **kind)
    genes[0] = some_missing(genes[0])
    assert torch.equal(model(noisy, timesteps, genes), central(noisy, timesteps).sample)
    null = torch.zeros(3, dtype=torch.bool)
    assert torch.equal(model(noisy, timesteps, genes, null), central(noisy, timesteps).sample)


def test_modulation_equals_film_on_the_feature_map(central, batch):
    """(Norm(h)·(1+s) + b)·(1+γ) + β, written out on the block's own norm."""
    noisy, timesteps, genes = batch
    model = perturbed(central)
    block = model.unet.get_submodule("mid_block.resnets.0")
    seen = {}
    block.norm2.register_forward_hook(lambda m, i, o: seen.update(norm=o))
    block.time_emb_proj.register_forward_hook(lambda m, i, o: seen.update(inp=i[0], out=o))
    model(noisy, timesteps, genes)
    projection = block.time_emb_proj
    time = seen["inp"][:, : projection.projection.in_features]
    gene = seen["inp"][:, projection.projection.in_features :]
    s, b = (v[:, :, None, None] for v in projection.projection(time).chunk(2, dim=1))
    gamma, beta = (v[:, :, None, None] for v in projection.modulation(gene).chunk(2, dim=1))
    s2, b2 = (v[:, :, None, None] for v in seen["out"].chunk(2, dim=1))
    film = (seen["norm"] * (1 + s) + b) * (1 + gamma) + beta
    torch.testing.assert_close(seen["norm"] * (1 + s2) + b2, film, atol=2e-6, rtol=1e-5)
    assert gamma.abs().max() > 0.01


def test_genes_change_the_prediction_and_the_null_hides_them(central, batch):
    noisy, timesteps, genes = batch
    model = perturbed(central)
    assert not torch.allclose(model(noisy, timesteps, genes), model(noisy, timesteps, genes + 1))
    null = torch.zeros(3, dtype=torch.bool)
    hidden = model(noisy, timesteps, genes, null)
    assert torch.equal(hidden, model(noisy, timesteps, genes + 1, null))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_only_the_adapter_has_gradients_and_the_central_model_is_untouched(central, batch, kind):
    before = weights_hash(central)
    flags = [p.requires_grad for p in central.parameters()]
    model = perturbed(central, **kind)
    model(*batch).square().mean().backward()
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert {n for n, p in model.named_parameters() if p.grad is not None} <= trained
    # A modulation has two names, its own and its block's; PyTorch lists the first.
    assert all(n.startswith(("embedding", "modulations", "updates", "unet")) for n in trained)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    optimizer.step()
    assert weights_hash(central) == before
    assert [p.requires_grad for p in central.parameters()] == flags
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == sum(
        v.numel() for v in model.adapter_state().values()
    )


@pytest.mark.parametrize("blocks", ["*", "up_blocks.*", "mid_block.*"])
@pytest.mark.parametrize("missing_mask", [False, True])
def test_without_genes_a_trained_adapter_on_null_base_is_the_central_model(
    central, batch, blocks, missing_mask
):
    noisy, timesteps, genes = batch
    genes = some_missing(genes)
    model = perturbed(central, null="base", blocks=blocks, missing_mask=missing_mask)
    expected = central(noisy, timesteps).sample
    given_to = torch.tensor([False, True, False])
    found = model(noisy, timesteps, genes, given_to)
    assert torch.equal(found[~given_to], expected[~given_to])
    assert not torch.allclose(found[given_to], expected[given_to])
    with torch.autocast("cpu", torch.bfloat16):
        nowhere = model(noisy, timesteps, genes, torch.zeros(3, dtype=torch.bool))
        assert torch.equal(nowhere, central(noisy, timesteps).sample)


def test_null_base_is_exact_when_compiled_as_one_graph_and_checkpointed(central, batch):
    noisy, timesteps, genes = batch
    model = perturbed(central, null="base", missing_mask=True)
    given_to = torch.tensor([False, True, False])
    expected = model(noisy, timesteps, genes, given_to)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    assert torch.equal(compiled(noisy, timesteps, genes, given_to), expected)
    again = checkpoint(model, noisy, timesteps, genes, given_to, use_reentrant=False)
    assert torch.equal(again, expected)


def test_low_rank_updates_change_both_branches_and_are_not_the_base(central, batch):
    noisy, timesteps, genes = batch
    model = perturbed(central, rank=2)
    with torch.no_grad():
        for parameter in model.modulations.parameters():
            parameter.zero_()
    expected = central(noisy, timesteps).sample
    null = torch.zeros(3, dtype=torch.bool)
    assert not torch.allclose(model(noisy, timesteps, genes), expected, atol=1e-3)
    assert not torch.allclose(model(noisy, timesteps, genes, null), expected, atol=1e-3)
    with pytest.raises(InputError, match="not the base"):
        GeneModulatedUNet(central, GENES, 8, null="base", rank=2)


def test_low_rank_updates_are_of_the_chosen_blocks_and_of_their_rank(central):
    model = perturbed(central, rank=2, blocks="up_blocks.0.*")
    assert model.updates and all(n.startswith("up_blocks/0/") for n in model.updates)
    assert any("attentions" in n for n in model.updates)
    assert not any("time_emb_proj" in n for n in model.updates)
    layer = model.unet.get_submodule("up_blocks.0.resnets.0.conv1")
    change = layer.weight - central.get_submodule("up_blocks.0.resnets.0.conv1").weight
    assert torch.linalg.matrix_rank(change.flatten(1), atol=1e-6) == 2


@given(missing=st.lists(st.booleans(), min_size=GENES, max_size=GENES))
@settings(max_examples=10, deadline=None)
def test_a_missing_gene_counts_as_the_mean_and_the_mask_says_which(central, missing):
    torch.manual_seed(1)
    genes, gone = torch.randn(2, GENES), torch.tensor(missing)
    holes, zeros = genes.masked_fill(gone, torch.nan), genes.masked_fill(gone, 0)
    plain = perturbed(central).embedding
    assert torch.equal(plain(holes), plain(zeros))
    masked = perturbed(central, missing_mask=True).embedding
    told = masked.missing.weight[:, gone].sum(dim=1)
    torch.testing.assert_close(masked(holes), masked(zeros) + told)


def test_the_backward_pass_ends_at_the_first_modulated_block(central, batch):
    """And what it leaves out changes no gradient."""
    noisy, timesteps, genes = batch
    model = perturbed(central, blocks="up_blocks.*")
    seen = {}
    for name in ("down_blocks.0.resnets.0", "mid_block", "up_blocks.1"):
        model.unet.get_submodule(name).register_forward_hook(
            lambda m, i, o, name=name: seen.update({name: o.requires_grad})
        )
    model(noisy, timesteps, genes).square().mean().backward()
    assert seen == {
        "down_blocks.0.resnets.0": False,
        "mid_block": False,
        "up_blocks.1": True,
    }
    whole = perturbed(central, blocks="up_blocks.*")
    for block in whole.unet.modules():
        if hasattr(block, "time_emb_proj"):
            undetached(block.time_emb_proj)
    whole(noisy, timesteps, genes).square().mean().backward()
    for found, expected in zip(model.parameters(), whole.parameters(), strict=True):
        assert (found.grad is None) == (expected.grad is None)
        assert found.grad is None or torch.equal(found.grad, expected.grad)


def undetached(projection):
    """Let the time embedding carry a gradient, as it would if nothing were detached."""
    frozen, split = projection.projection, projection.projection.in_features
    seen = []
    projection.register_forward_pre_hook(lambda m, inputs: seen.append(inputs[0]))
    frozen.register_forward_pre_hook(lambda m, inputs: seen.pop()[:, :split])


def test_its_config_rebuilds_it(central, batch):
    for kind in KINDS:
        model = perturbed(central, **kind)
        twin = GeneModulatedUNet(central, **json.loads(json.dumps(model.config)))
        twin.load_adapter_state(model.adapter_state())
        assert torch.equal(twin(*batch), model(*batch))


def test_gradients_are_right_under_checkpointing(central, batch):
    noisy, timesteps, genes = batch
    grads = []
    for checkpointed in (False, True):
        model = perturbed(central)
        if checkpointed:
            output = checkpoint(model, noisy, timesteps, genes, use_reentrant=False)
            # A second pass with other genes between forward and backward must not leak in.
            model(noisy, timesteps, genes * 0)
        else:
            output = model(noisy, timesteps, genes)
        output.square().mean().backward()
        grads.append(model.embedding.projection.weight.grad.clone())
    torch.testing.assert_close(grads[0], grads[1])
    assert grads[0].abs().max() > 0


def test_a_pattern_selects_blocks(central):
    model = GeneModulatedUNet(central, GENES, 8, blocks="mid_block.*")
    assert set(model.modulations) == {"mid_block/resnets/0", "mid_block/resnets/1"}
    late = GeneModulatedUNet(central, GENES, 8, blocks="mid_block.*, up_blocks.*")
    assert {name.split("_")[0] for name in late.modulations} == {"mid", "up"}
    with pytest.raises(InputError, match="blocks"):
        GeneModulatedUNet(central, GENES, 8, blocks="nowhere.*")


def test_adapters_swap_in_place_and_unlike_ones_are_refused(central, batch):
    model, other = perturbed(central), GeneModulatedUNet(central, GENES, 8)
    other.load_adapter_state(model.adapter_state())
    assert torch.equal(other(*batch), model(*batch))
    with pytest.raises(InputError, match="does not fit"):
        GeneModulatedUNet(central, GENES + 1, 8).load_adapter_state(model.adapter_state())
