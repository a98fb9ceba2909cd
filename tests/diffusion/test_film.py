import pytest
import torch
from torch.utils.checkpoint import checkpoint

from c2lst.diffusion.film import GeneModulatedUNet
from c2lst.diffusion.unet import UNetShape, build_unet
from c2lst.diffusion.weights import weights_hash
from c2lst.errors import InputError

GENES = 6


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


def test_an_untrained_local_model_is_the_central_model_bit_for_bit(central, batch):
    noisy, timesteps, genes = batch
    model = GeneModulatedUNet(central, GENES, 8)
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


def test_only_the_adapter_has_gradients_and_the_central_model_is_untouched(central, batch):
    before = weights_hash(central)
    flags = [p.requires_grad for p in central.parameters()]
    model = perturbed(central)
    model(*batch).square().mean().backward()
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert {n for n, p in model.named_parameters() if p.grad is not None} <= trained
    # A modulation has two names, its own and its block's; PyTorch lists the first.
    assert all(n.startswith(("embedding", "modulations", "unet")) for n in trained)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    optimizer.step()
    assert weights_hash(central) == before
    assert [p.requires_grad for p in central.parameters()] == flags
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == sum(
        v.numel() for v in model.adapter_state().values()
    )


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
    with pytest.raises(InputError, match="blocks"):
        GeneModulatedUNet(central, GENES, 8, blocks="nowhere.*")


def test_adapters_swap_in_place_and_unlike_ones_are_refused(central, batch):
    model, other = perturbed(central), GeneModulatedUNet(central, GENES, 8)
    other.load_adapter_state(model.adapter_state())
    assert torch.equal(other(*batch), model(*batch))
    with pytest.raises(InputError, match="does not fit"):
        GeneModulatedUNet(central, GENES + 1, 8).load_adapter_state(model.adapter_state())
