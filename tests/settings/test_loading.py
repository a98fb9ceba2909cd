import pytest

from c2lst.errors import InputError
from c2lst.settings import PRESETS, load_settings


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_can_be_built_and_carries_one_seed(preset):
    settings = load_settings(preset, options={"seed": 7})
    assert settings.preset == preset
    seeds = (
        settings.central.training.seed,
        settings.adapter.training.seed,
        settings.synthesis.seed,
        settings.prediction.seed,
    )
    assert seeds == (7, 7, 7, 7)


def test_the_paper_preset_is_the_paper():
    paper = load_settings("paper")
    assert paper.central.shape.widths == (64, 128, 256, 512)
    assert paper.central.process.prediction == "epsilon"
    assert paper.central.process.min_snr_gamma == 5
    assert (paper.central.training.steps, paper.central.training.batch_size) == (200_000, 256)
    assert paper.central.training.ema_decay == 0.999
    assert paper.adapter.training.steps == 10_000 and paper.adapter.training.warmup == 0.03
    assert (paper.synthesis.per_spot, paper.synthesis.guidance) == (10, 3.0)
    assert paper.genes == 250 and paper.patch_um == 112


def test_base_is_what_was_measured_to_help():
    """docs/central.md: velocity and an average over a constant rate; no jitter, no zero SNR."""
    base, paper = load_settings("base").central, load_settings("paper").central
    assert base.shape == paper.shape
    assert base.process.prediction == "v_prediction" and not base.process.zero_snr
    assert base.training.schedule == "constant" and base.training.ema_lengths[0] == 0.05
    assert base.dihedral and base.stain_jitter == 0
    assert base.training.steps < paper.training.steps


def test_options_win_over_the_file_and_the_file_over_the_preset(tmp_path):
    config = tmp_path / "run.toml"
    config.write_text("fraction = 0.1\nseed = 3\n[central.training]\nsteps = 5\n")
    settings = load_settings("tiny", config, {"seed": 4, "fraction": None})
    assert (settings.fraction, settings.seed, settings.central.training.steps) == (0.1, 4, 5)


def test_the_file_wins_over_what_a_command_takes_in_place_of_the_preset(tmp_path):
    config = tmp_path / "run.toml"
    config.write_text("[synthesis]\nper_spot = 3\n")
    own = {"synthesis": {"per_spot": 1}}
    assert load_settings("tiny", None, {}, own).synthesis.per_spot == 1
    assert load_settings("tiny", config, {}, own).synthesis.per_spot == 3


def test_a_whole_number_stands_for_a_float(tmp_path):
    config = tmp_path / "run.toml"
    config.write_text("[synthesis]\nguidance = 3\n")
    assert load_settings("tiny", config).synthesis.guidance == 3.0


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("fractions = 0.1", "fractions"),
        ("[central.training]\nstep = 5", "step"),
        ("fraction = '0.1'", "fraction"),
        ("fraction = 1.5", "fraction"),
        ("scheme = 'best'", "scheme"),
        ("central = 3", "central"),
        ("[synthesis]\nsampler = 'slow'", "sampler"),
        ("preset = 'paper'", "preset"),
        ("seed = true", "seed"),
        ("a = [", "TOML"),
    ],
)
def test_bad_settings_are_named(tmp_path, text, named):
    config = tmp_path / "run.toml"
    config.write_text(text)
    with pytest.raises(InputError, match=named):
        load_settings("tiny", config)


def test_missing_files_and_presets_are_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_settings("tiny", tmp_path / "absent.toml")
    with pytest.raises(InputError, match="tiny or small or base or paper"):
        load_settings("huge")


def test_a_seed_below_zero_is_refused():
    with pytest.raises(InputError, match="seed, found -1, expected a whole number, at least 0"):
        load_settings("tiny", options={"seed": -1})


@pytest.mark.parametrize(
    ("text", "named"),
    [
        # Fields that may be None, or hold several values, take their own type alone.
        ("[synthesis]\nguidance_interval = 3", "guidance_interval"),
        ("[synthesis]\nguidance_interval = ['low', 'high']", "guidance_interval"),
        ("[adapter]\nprivate = 3", "private"),
        ("[adapter.private]\nepsilon = true", "epsilon"),
        ("[central.shape]\nwidths = ['a', 'b']", "widths"),
        ("[central.shape]\ngroups = 0", "groups"),
        ("[central.training]\nmicro_batch = 1.5", "micro_batch"),
        ("[central.training]\nmicro_batch = 'x'", "micro_batch"),
        ("[central.training]\nema_lengths = ['x']", "ema_lengths"),
        ("[central.training]\nlearning_rate = nan", "learning_rate"),
        ("[central.training]\nlearning_rate = -0.1", "learning_rate.*at least 0"),
        ("[central.training]\nema_decay = 1.5", "ema_decay"),
        ("[central.shape]\nsize = 0", "size"),
        ("[central.shape]\nlayers = -1", "layers"),
        ("[central.shape]\nwidths = []", "widths"),
        ("[central.process]\nsteps = 1", "steps"),
        ("[central.process]\nschedule = 'cubic'", "schedule.*squaredcos_cap_v2"),
        ("[central.process]\nmin_snr_gamma = 0", "min_snr_gamma"),
        ("[central]\nstain_jitter = 2", "stain_jitter"),
        ("[prediction]\ncomponents = 0", "components"),
        ("[prediction]\nlearning_rate = -1", "learning_rate"),
        ("[central.process]\nprediction = 'x0'", "prediction.*epsilon or v_prediction"),
        ("[prediction]\nprecision = 'fp8'", "precision.*fp32 or bf16"),
        ("[adapter]\ncomponents = -1", "components"),
        ("[synthesis]\nseed = 3", "seed.*one seed for everything"),
        ("[central.training]\nseed = 3", "seed.*one seed for everything"),
        ("patch_um = 0", "patch_um"),
        ("patch_um = inf", "patch_um"),
        ("pitch_um = inf", "pitch_um"),
        ("slide_steps = -1", "slide_steps"),
    ],
)
def test_values_that_no_stage_can_use_are_refused_when_they_are_read(tmp_path, text, named):
    config = tmp_path / "run.toml"
    config.write_text(text)
    for preset in ("tiny", "base"):
        with pytest.raises(InputError, match=named):
            load_settings(preset, config)


def test_what_may_be_left_open_can_be_set_where_a_preset_leaves_it_open(tmp_path):
    config = tmp_path / "run.toml"
    config.write_text(
        "[synthesis]\nguidance_interval = [0, 2]\n[central.training]\nema_decay = 0.5\n"
        "[adapter.private]\nepsilon = 3\n"
    )
    settings = load_settings("base", config)
    assert settings.synthesis.guidance_interval == (0.0, 2.0)
    assert settings.central.training.ema_decay == 0.5
    assert settings.adapter.private is not None and settings.adapter.private.epsilon == 3.0


def test_a_file_of_a_windows_editor_is_read_and_one_below_a_file_named(tmp_path):
    config = tmp_path / "run.toml"
    config.write_text("fraction = 0.1", encoding="utf-8-sig")
    assert load_settings("tiny", config).fraction == 0.1
    with pytest.raises(InputError, match="TOML"):
        load_settings("tiny", config / "run.toml")
