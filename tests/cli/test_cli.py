import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from c2lst import __version__
from c2lst.cli.app import app
from c2lst.data.section import Section
from c2lst.data.split import SpotSplit
from c2lst.errors import InputError
from toy import TOML

runner = CliRunner()
VERBS = [
    *("run", "fetch", "simulate", "ingest", "split", "collect", "pretrain", "sample"),
    *("plan", "sweep", "drop-genes", "evaluate-generator", "export", "study", "benchmark"),
    *("publish", "adapt", "synthesize", "train", "predict", "evaluate", "report", "doctor"),
    *("explore", "superres"),
]


def call(*arguments):
    return runner.invoke(app, [str(a) for a in arguments], catch_exceptions=False)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb):
    result = call(verb, "--help")
    assert result.exit_code == 0 and verb in result.output


def test_the_version_is_said():
    result = call("--version")
    assert result.exit_code == 0 and result.output == f"c2lst {__version__}\n"


NOT_THERE = ("nowhere", "--central", "nowhere", "--split", "nowhere.json")


@pytest.mark.parametrize(
    "command",
    [
        ("plan", "nowhere.tif", "--budget", 5),
        ("train", *NOT_THERE),
        ("adapt", *NOT_THERE),
        ("pretrain", "nowhere"),
        ("collect", "nowhere"),
        ("ingest", "nowhere"),
        ("split", "nowhere"),
        ("predict", "nowhere", "--section", "nowhere", "--central", "nowhere"),
    ],
)
def test_a_folder_of_the_users_is_refused_before_anything_else(command, tmp_path, capfd):
    (tmp_path / "thesis.docx").write_text("years of work")
    with pytest.raises(InputError) as told:
        call(*command, "-o", tmp_path)
    assert str(tmp_path) in str(told.value) or command[0] == "ingest"
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [
        ("thesis.docx", "years of work")
    ]


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from c2lst.cli.app import app; "
        "print([m for m in ('torch', 'diffusers', 'anndata', 'scipy', 'matplotlib', 'pandas')"
        " if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]"


def test_the_verbs_do_by_hand_what_run_strings_together(small_legacy, tmp_path):
    import anndata

    config = tmp_path / "toy.toml"
    config.write_text(TOML)
    paths = {name: tmp_path / name for name in ("section", "central", "adapter", "syn", "model")}
    split = tmp_path / "split.json"
    patches = tmp_path / "patches"
    patches.mkdir()
    _write_patches(patches)
    toy = ("--preset", "tiny", "--config", config)
    slide = (paths["section"], "--central", paths["central"], "--split", split)
    call("ingest", small_legacy, "-o", paths["section"], "--size", 16)
    call("split", paths["section"], "-o", split, "--fraction", 0.5)
    call("pretrain", patches, "-o", paths["central"], *toy)
    call("adapt", *slide, "-o", paths["adapter"], *toy)
    call("synthesize", paths["adapter"], "--section", *slide, "-o", paths["syn"], *toy)
    call("train", *slide, "-o", paths["model"], "--synthetic", paths["syn"],
         "--network", "frozen", "--encoder", "central", *toy)  # fmt: skip
    predictions = tmp_path / "predictions.h5ad"
    call("predict", paths["model"], "--section", *slide, "-o", predictions)
    result = call("evaluate", predictions, "-o", tmp_path)
    assert result.exit_code == 0 and "Kriging" in result.output
    table = anndata.read_h5ad(predictions)
    assert table.shape == (72, 12) and "network_cotrained" in table.layers
    left = [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]
    assert left == []


def _write_patches(folder):
    from PIL import Image

    rng = np.random.default_rng(0)
    for index in range(6):
        pixels = rng.integers(120, 250, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")


def test_simulated_tissue_is_read_back_as_a_section(tmp_path):
    call("simulate", "-o", tmp_path / "slide", "--spots", 4, 4)
    call("simulate", "-o", tmp_path / "other", "--spots", 4, 4, "--name", "CONTROL",
         "--uninformative-image")  # fmt: skip
    for slide, name in (("slide", "SIM"), ("other", "CONTROL")):
        result = call("ingest", tmp_path / slide, "-o", tmp_path / name, "--size", 32)
        assert result.exit_code == 0
    shown, control = (Section.load(tmp_path / name, name) for name in ("SIM", "CONTROL"))
    assert (shown.counts != control.counts).nnz == 0
    assert not np.array_equal(shown.patches[:], control.patches[:])


def test_some_of_the_sampled_spots_are_kept_for_validation(small_section, tmp_path):
    small_section.save(tmp_path / "section")
    split = ("split", tmp_path / "section", "--fraction", 0.5, "--val-fraction")
    for share, kept in ((0, 0), (0.25, 9)):
        call(*split, share, "-o", tmp_path / "split.json")
        drawn = SpotSplit.load(tmp_path / "split.json")
        assert len(drawn.val) == kept and len(drawn.train) == 36 - kept


def test_doctor_says_what_is_there():
    result = call("doctor")
    assert result.exit_code == 0
    assert "torch" in result.output and "device" in result.output


def bad_calls(folder, legacy):
    (folder / "empty").mkdir()
    (folder / "genes.txt").write_text("# none\n")
    (folder / "bad.toml").write_text("fraction = 2.0")
    (folder / "not.h5ad").write_text("x")
    run = ("run", legacy, "-o", folder / "run")
    return {
        "a slide that is not there": ("run", folder / "absent", "-o", folder / "run"),
        "a folder without a slide": ("run", folder / "empty", "-o", folder / "run"),
        "an unknown section": (*run, "--section", "C9"),
        "a bad fraction": (*run, "--fraction", 1.5),
        "a bad setting": (*run, "--config", folder / "bad.toml"),
        "an empty gene list": (*run, "--genes", folder / "genes.txt"),
        "a central model that is none": (*run, "--central", folder / "empty"),
        "a collection without images": (*run, "--collection", folder / "empty"),
        "an encoder that there is none of": (*run, "--network", "frozen", "--encoder", "clip"),
        "an encoder that nothing reads": (*run, "--encoder", "central"),
        "an unknown baseline": (*run, "--baselines", "resnet-50", "vgg"),
        "predictions that are none": ("evaluate", folder / "not.h5ad", "-o", folder),
        "a run that is none": ("report", folder / "empty"),
        "a section that is none": ("split", folder / "empty", "-o", folder / "s.json"),
        "too few spots": ("simulate", "-o", folder / "sim", "--spots", 1, 1),
    }


@pytest.mark.parametrize("index", range(15))
def test_bad_input_is_one_error(index, small_legacy, tmp_path):
    name, arguments = list(bad_calls(tmp_path, small_legacy).items())[index]
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value), name


def test_bad_input_ends_with_exit_code_2_and_one_line(tmp_path):
    command = [sys.executable, "-m", "c2lst", "run", str(tmp_path), "-o", str(tmp_path / "run")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and str(tmp_path) in last


def test_an_interrupt_says_how_to_go_on(monkeypatch, capsys):
    import c2lst.cli.app
    from c2lst.cli import main

    def interrupted():
        raise SystemExit(130)

    monkeypatch.setattr(c2lst.cli.app, "app", interrupted)
    with pytest.raises(SystemExit):
        main()
    assert "same command continues" in capsys.readouterr().err


def test_what_contradicts_or_would_do_nothing_is_refused(small_legacy, tmp_path, monkeypatch):
    there = ("--section", tmp_path, "--central", tmp_path, "-o", tmp_path / "p.h5ad")
    adapt = ("adapt", tmp_path, "--central", tmp_path, "--split", tmp_path / "s.json")
    whole = ("--scheme", "all", "--fraction", 0.1)
    monkeypatch.setattr("c2lst.benchmark.read_task", lambda folder: folder)
    transfer = ("benchmark", "--hest-bench", tmp_path, "-o", tmp_path / "b")
    for arguments, named in (
        (("split", tmp_path, "-o", tmp_path / "s.json", *whole), "--fraction"),
        (("run", small_legacy, "-o", tmp_path / "run", *whole), "--fraction"),
        (("predict", tmp_path, *there, "--pitch", "50um", "--split", tmp_path), "--split"),
        ((*adapt, "-o", tmp_path / "a", "--dp", 1, "--early-stop"), "--early-stop"),
        ((*transfer, "--network", "none", "--steps", 9), "--steps"),
    ):
        with pytest.raises(InputError, match=named):
            call(*arguments)
    assert not any(tmp_path.iterdir())


def test_a_gene_list_of_a_windows_editor_names_its_first_gene(tmp_path):
    from c2lst.cli.options import read_genes

    (tmp_path / "genes.txt").write_text("ACTB\nGAPDH\n", encoding="utf-8-sig")
    assert read_genes(tmp_path / "genes.txt") == ("ACTB", "GAPDH")


def test_a_seed_below_zero_is_no_traceback(tmp_path):
    model = ("superres", "evaluate", tmp_path, tmp_path, "-o", tmp_path / "e")
    for arguments in (
        ("sample", "builtin", "-o", tmp_path / "s.png"),
        ("evaluate", tmp_path / "p.h5ad", "-o", tmp_path / "e"),
        ("superres", "build", "simulated", "-o", tmp_path / "m"),
        ("superres", "predict", tmp_path, tmp_path, "-o", tmp_path / "p.h5ad"),
        model,
    ):
        result = runner.invoke(app, [str(a) for a in (*arguments, "--seed", -1)])
        assert result.exit_code == 2 and "seed" in result.output


@pytest.mark.parametrize("verb", ["sweep", "drop-genes", "evaluate-generator"])
def test_a_file_for_a_folder_is_refused_before_anything_is_drawn(verb, tmp_path):
    (tmp_path / "out").write_text("mine")
    gene = ("--gene", "A") if verb == "sweep" else ()
    with pytest.raises(InputError, match="is a file"):
        call(verb, tmp_path / "adapter", "-o", tmp_path / "out", *gene)
