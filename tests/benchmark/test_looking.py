"""A central model as the encoder of a benchmark."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from c2lst.benchmark.looking import Looking
from c2lst.central import CentralModel
from c2lst.cli.app import app
from c2lst.data.patches import Patches
from c2lst.data.stain import StainReference
from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.unet import UNetShape, build_unet
from c2lst.errors import InputError

UM = 112.0


@pytest.fixture(scope="module")
def central(sections, tmp_path_factory):
    size = sections[0].patches.size
    shape = UNetShape(size=size, widths=(8, 16), layers=1, groups=4)
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("central") / "model"
    stain = StainReference.fit(sections[0].patches[:])
    CentralModel(build_unet(shape).eval(), NoiseProcess(), UM, stain).save(folder)
    return folder


@pytest.fixture
def settings(quick):
    return replace(quick, encoder="central")


def _of(section, images, um):
    """Return the section with other patches."""
    return replace(section, patches=Patches(images, um))


def test_patches_as_the_model_takes_them_are_encoded_as_it_does(central, settings, sections):
    images, model = sections[0].patches[:3], CentralModel.load(central)
    looking = Looking.of(settings, central, sections)
    np.testing.assert_array_equal(looking.encoder.encode(images), model.encode(images))
    assert not np.allclose(looking.upright.encode(images), model.encode(images))
    assert (
        looking.stain.to_dict() == model.stain.to_dict() and model.hash in looking.encoder.identity
    )


def test_of_wider_and_finer_patches_it_sees_what_it_was_trained_on(central, settings, sections):
    images = sections[0].patches[:]
    margin = images.shape[1] // 4
    edges = ((0, 0), (margin, margin), (margin, margin), (0, 0))
    wide = np.pad(images, edges, constant_values=255)
    looking = Looking.of(settings, central, [_of(sections[0], wide, 1.5 * UM)])
    alone = Looking.of(settings, central, sections).encoder.encode(images[:3])
    np.testing.assert_array_equal(looking.encoder.encode(wide[:3]), alone)

    fine = images.repeat(2, axis=1).repeat(2, axis=2)
    looking = Looking.of(settings, central, [_of(sections[0], fine, UM)])
    others = Looking.of(settings, central, sections).encoder.encode(images[3:6])
    same = np.abs(looking.encoder.encode(fine[:3]) - alone).mean()
    assert same < 0.5 * np.abs(others - alone).mean()


@pytest.mark.parametrize(("um", "step"), [(UM / 2, 1), (UM, 2)])
def test_patches_that_show_less_are_refused(central, settings, sections, um, step):
    few = _of(sections[0], sections[0].patches[:][:, ::step, ::step], um)
    with pytest.raises(InputError, match="show less than the central model sees"):
        Looking.of(settings, central, [few])


def test_a_model_and_its_encoder_belong_together(central, settings, quick, sections):
    with pytest.raises(InputError, match="belong together"):
        Looking.of(settings, None, sections)
    with pytest.raises(InputError, match="belong together"):
        Looking.of(quick, central, sections)


def test_the_command_goes_on_with_the_same_central_model_alone(central, sections, tmp_path):
    for section in sections[1:]:
        section.save(tmp_path / section.name)
    model = CentralModel.load(central)
    with torch.no_grad():
        model.unet.conv_in.bias.add_(1.0)
    replace(model).save(tmp_path / "other")  # whose hash is taken of what is there now

    def benchmark(model):
        folders = [str(tmp_path / section.name) for section in sections[1:]]
        options = ["--encoder", "central", "--central", str(model), "--genes", "10"]
        options += ["--network", "none", "-o", str(tmp_path / "out")]
        return CliRunner().invoke(app, ["benchmark", *folders, *options])

    assert benchmark(central).exit_code == 0
    with pytest.raises(InputError, match="another encoder"):
        raise benchmark(tmp_path / "other").exception
    request = json.loads((tmp_path / "out/benchmark.json").read_text())["request"]
    assert CentralModel.load(central).hash in request["encoder"]
