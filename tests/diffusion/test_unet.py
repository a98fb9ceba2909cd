import pytest

from c2lst.diffusion.unet import UNetShape, build_unet
from c2lst.diffusion.weights import load_weights, weights_hash
from c2lst.errors import InputError


@pytest.mark.parametrize(
    ("options", "field"),
    [({"size": 18, "widths": (8, 8, 8)}, "size"), ({"size": 16, "widths": (8, 12)}, "widths")],
)
def test_shapes_that_cannot_be_built_are_refused(options, field):
    with pytest.raises(InputError, match=field):
        UNetShape(**options, groups=8)


def test_attention_is_at_the_coarsest_scale_only_and_keeps_its_norm():
    unet = build_unet(UNetShape(16, (8, 16), layers=1, groups=4))
    names = [n for n, _ in unet.named_modules() if "attentions" in n]
    assert not any(n.startswith("down_blocks.0") for n in names)
    assert unet.mid_block.attentions[0].group_norm is not None


def test_weights_that_do_not_fit_are_refused(tmp_path):
    from safetensors.torch import save_file

    unet = build_unet(UNetShape(16, (8, 16), layers=1, groups=4))
    other = build_unet(UNetShape(16, (8, 16), layers=1, groups=4))
    path = tmp_path / "w.safetensors"
    state = {k: v.clone() for k, v in unet.state_dict().items()}
    save_file(state, path)
    load_weights(other, path)
    assert weights_hash(other) == weights_hash(unet)
    first = sorted(state)[0]
    for odd in ({k: v for k, v in state.items() if k != first}, state | {"extra": state[first]}):
        save_file({k: v.clone() for k, v in odd.items()}, path)
        with pytest.raises(InputError, match="weight"):
            load_weights(other, path)
    path.write_bytes(b"\x80\x04pickle")
    with pytest.raises(InputError, match="safetensors"):
        load_weights(other, path)
    with pytest.raises(InputError, match="no such file"):
        load_weights(other, tmp_path / "absent.bin")
