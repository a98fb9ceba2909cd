import pytest
from typer.testing import CliRunner

from c2lst import study
from c2lst.cli.app import app
from c2lst.errors import InputError
from c2lst.progress import logger
from toy import TOML

runner = CliRunner()


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Call the command; return what the study would have been asked for."""
    calls = []

    def noted(sections, output, settings, grid, **options):
        calls.append((sections, grid, options))
        return study.Outcome(output, 4, {"A/x": "no luck"} if "fail" in str(output) else {})

    monkeypatch.setattr(study, "run_study", noted)

    def call(*arguments, output="study"):
        words = ["study", *map(str, arguments), "-o", str(tmp_path / output)]
        return runner.invoke(app, words, catch_exceptions=False), calls

    return call


def test_lists_are_given_with_spaces(asked):
    result, calls = asked(
        *("A", "B", "--fractions", 0.05, 0.5, "--ratios", 0, 1, 10, "--jobs", 2),
        *("--schemes", "random", "blocks", "--controls", "shuffled", "mixup", "--seeds", 2),
    )
    sections, grid, options = calls[0]
    assert result.exit_code == 0 and sections == ["A", "B"] and options["jobs"] == 2
    assert grid.fractions == (0.05, 0.5) and grid.ratios == (0, 1, 10)
    assert grid.schemes == ("random", "blocks") and grid.controls == ("mixup", "shuffled")
    assert grid.seeds == 2 and not grid.generator


def test_batches_of_the_union_and_the_generator_are_asked_for(asked):
    for words in (("--union",), ("--share",), ("--generator",)):
        _, calls = asked("A", *words)
    assert [call[1].union for call in calls[:2]] == [True, False]
    assert calls[2][1].generator


def test_settings_that_only_a_run_reads_are_told(asked, tmp_path, monkeypatch):
    (tmp_path / "run.toml").write_text(TOML)
    told = []
    monkeypatch.setattr(logger, "warning", lambda words, *values: told.append(words % values))
    asked("A", "--config", tmp_path / "run.toml")
    assert told == [
        "a study does not read the setting fraction; it has --fractions",
        "a study does not read the setting synthesis.per_spot; it has --ratios",
    ]


def test_an_option_may_also_be_repeated(asked):
    _, calls = asked("A", "--ratios", 2, "--ratios", 4, "--ratios=6")
    assert calls[0][1].ratios == (0, 2, 4, 6)


def test_networks_and_further_baselines(asked):
    asked("A", "--networks", "resnet-tiny", "frozen", "--baselines", "resnet-50", "--advised")
    _, calls = asked("A", "--networks", "none")
    first, second = (call[1] for call in calls)
    assert first.networks == ("resnet-tiny", "frozen") and first.baselines == ("resnet-50",)
    assert first.advised and not second.advised
    assert second.networks == () and second.ratios == (0,) and second.controls == ()
    with pytest.raises(InputError, match="stands alone"):
        asked("A", "--networks", "none", "resnet-tiny")


def test_real_only_needs_no_word_about_controls(asked):
    _, calls = asked("A", "--ratios", 0)
    assert calls[0][1].controls == ()


def test_all_and_none_of_the_controls(asked):
    asked("A", "--controls", "all")
    _, calls = asked("A", "--controls", "none")
    assert [call[1].controls for call in calls] == [tuple(study.CONTROLS), ()]
    with pytest.raises(InputError, match="stands alone"):
        asked("A", "--controls", "none", "mixup")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--controls", "placebo"), "controls"),
        (("--fractions", 1.5), "fractions"),
        (("--schemes", "circles"), "schemes"),
    ],
)
def test_what_makes_no_study_is_one_error(asked, arguments, problem):
    with pytest.raises(InputError, match=problem):
        asked("A", *arguments)


def test_no_section_is_refused(asked):
    result, calls = asked()
    assert result.exit_code == 2 and calls == []


def test_the_exit_code_says_that_a_cell_failed(asked):
    result, _ = asked("A", output="fails")
    assert result.exit_code == 1
    assert "1 of 4 cells failed" in result.output and "no luck" in result.output


def test_a_study_runs_from_the_command_line_and_is_continued(small_legacy, tmp_path):
    (tmp_path / "toy.toml").write_text(TOML)
    words = ["study", small_legacy, "-o", tmp_path / "study", "--config", tmp_path / "toy.toml"]
    words += ["--fractions", 0.5, "--ratios", 0, "--controls", "none", "--seeds", 1]
    words += ["--schemes", "random"]
    for _ in range(2):
        result = runner.invoke(app, [str(word) for word in words], catch_exceptions=False)
        assert result.exit_code == 0 and "study.html" in result.output
