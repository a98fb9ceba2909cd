"""Pages hold together: links lead somewhere, commands exist, nothing is of one machine."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

import c2lst
import c2lst.data
from c2lst.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```.*?^```", re.M | re.S)
COMMANDS = get_command(app).commands
EVERYWHERE = {"--help", "--quiet", "-q"}
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())


def prose(page: Path) -> str:
    """A page without its fenced code."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def code_lines(page: Path) -> list[str]:
    """Lines of fenced and of indented code, continued ones joined."""
    text = page.read_text(encoding="utf-8")
    blocks = [block.split("\n", 1)[1] for block in FENCE.findall(text)]
    indented = [line for line in FENCE.sub("", text).splitlines() if line.startswith("    ")]
    return "\n".join([*blocks, *indented]).replace("\\\n", " ").splitlines()


def anchors(page: Path) -> set[str]:
    """What a link into a page may name: headings as GitHub spells them, and labels."""
    headings = re.findall(r"^#{1,3} (.+)$", prose(page), re.M)
    spelt = {re.sub(r"[^\w\- ]", "", h.strip().lower()).replace(" ", "-") for h in headings}
    return spelt | set(re.findall(r"^\(([\w-]+)\)=$", prose(page), re.M))


def calls(line: str) -> list[list[str]]:
    """The words after ``c2lst`` of each call in a line of code."""
    found = re.findall(r"(?:^|(?<!from)[\s/])c2lst ((?:--quiet )?[a-z][\w-]*\b.*)", line)
    return [text.split("#")[0].split() for text in found]


@each_page
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        to = (page.parent / path).resolve() if path else page
        assert to.exists(), target
        if anchor and to.suffix == ".md":
            assert anchor in anchors(to), target


@each_page
def test_commands_and_their_options_exist(page):
    for line in code_lines(page):
        for verb, *words in calls(line):
            assert verb in COMMANDS, line
            command = COMMANDS[verb]
            if hasattr(command, "commands"):  # a group, such as superres
                assert words[0] in command.commands, line
                command = command.commands[words[0]]
            known = EVERYWHERE.union(*(p.opts + p.secondary_opts for p in command.params))
            given = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
            assert given <= known, f"{given - known} in {line!r}"


def test_a_command_that_is_not_there_would_be_seen():
    (words,) = calls("accelerate launch -m c2lst pretrain ours --steps 3  # on two")
    assert words == ["pretrain", "ours", "--steps", "3"]
    assert calls("    $ .venv/bin/c2lst report RUN")[0] == ["report", "RUN"]
    assert not calls('project = "c2lst"') and not calls("from c2lst import run")


@each_page
def test_nothing_is_of_one_machine(page):
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"/(tmp|root|work|home)/|pypi\.|file://|localhost", text)


def test_the_reference_has_all_that_is_exported():
    text = (ROOT / "docs/reference/api.md").read_text(encoding="utf-8")
    shown = set(
        re.findall(r"auto(?:class|function|exception):: (?:c2lst\.data\.)?(\w+)$", text, re.M)
    )
    exported = set(c2lst.__all__) | set(c2lst.data.__all__)
    assert exported - {"__version__"} <= shown


def test_every_page_is_in_the_table_of_contents():
    docs = ROOT / "docs"
    text = (docs / "index.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```\{toctree\}\n(.*?)```", text, re.S)
    names = {line for block in blocks for line in block.splitlines() if line and line[0] != ":"}
    found = {path for name in names for path in docs.glob(f"{name}.*") if path.suffix != ".png"}
    pages = {*docs.rglob("*.md"), *docs.rglob("*.ipynb")} - {docs / "index.md"}
    assert pages <= found, pages - found
