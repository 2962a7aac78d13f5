"""Documents are true: their programs run, their links lead somewhere, every block of Python is Python."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from snippets import Block, blocks, run

from mpreg.cli._main import mpreg as command

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\(([^)#:]*)(?:#([^):]*))?\)")
FENCED = re.compile(r"^(```+)[^\n]*\n.*?^\1$", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


def documents() -> list[Path]:
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    out = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return sorted(ROOT / line for line in out.splitlines() if (ROOT / line).is_file())


def programs() -> list:
    found = []
    for document in documents():
        modules: list[Block] = []
        for block in blocks(document):
            if block.how == "run":
                name = f"{document.relative_to(ROOT)}:{len(found)}"
                found.append(pytest.param(list(modules), block, id=name))
            elif block.how.startswith("file="):
                modules.append(block)
    return found


@pytest.mark.parametrize(("modules", "block"), programs())
def test_a_program_prints_what_it_says(modules: list[Block], block: Block, tmp_path: Path) -> None:
    for module in modules:
        (tmp_path / module.how.removeprefix("file=")).write_text(module.code)
    program = tmp_path / "program.py"
    program.write_text(block.code)
    run(program, tmp_path)


@pytest.mark.parametrize(
    "document", [each for each in documents() if "```python test" in each.read_text()], ids=lambda path: path.stem
)
def test_shown_tests_pass_side_by_side_whatever_the_machine_is_set_to(document: Path, tmp_path: Path) -> None:
    for number, block in enumerate(blocks(document)):
        if block.how == "test":
            (tmp_path / f"test_shown_{number}.py").write_text(block.code)
        elif block.how.startswith("file="):
            (tmp_path / block.how.removeprefix("file=")).write_text(block.code)
    (tmp_path / "mpreg.toml").write_text("nonsense = 1\n")
    hostile = {
        **os.environ,
        "MPREG_SEEDS": "10.255.255.1:7000",
        "MPREG_LISTEN": "10.255.255.2:7000",
        "MPREG_NONSENSE": "1",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, env=hostile, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readme_shows_a_program_of_ten_lines() -> None:
    (program,) = [block for block in blocks(ROOT / "README.md") if block.how == "run"]
    assert len([line for line in program.code.splitlines() if line]) <= 10


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_python_in_a_document_is_python_and_links_lead_somewhere(document: Path) -> None:
    for block in blocks(document):
        if block.language == "python":
            ast.parse(block.code)
    assert [link for link in links(document) if not leads_somewhere(document, *link)] == []


def shown_commands() -> list:
    """Lines of shell in documents that use the command, each from behind `mpreg`."""
    found = []
    for document in documents():
        for block in blocks(document):
            if block.language not in ("sh", "console") or "file=" in block.how:
                continue
            lines = block.code.splitlines()
            for line in lines if block.language == "sh" else [each[2:] for each in lines if each.startswith("$ ")]:
                for part in re.split(r" && | \| ", line):
                    words = shlex.split(part, comments=True)
                    words = words[len([word for word in words if re.match(r"[A-Z_]+=", word)]) :]
                    if words and Path(words[0]).name == "mpreg":
                        found.append(pytest.param(words[1:], id=f"{document.relative_to(ROOT)}: {part}"))
    return found


@pytest.mark.parametrize("words", shown_commands())
def test_a_shown_command_is_one(words: list[str]) -> None:
    verb: click.Command = command
    while isinstance(verb, click.Group):
        _, below, words = verb.resolve_command(click.Context(verb), words)
        assert below is not None
        verb = below
    verb.make_context(verb.name, list(words))


def links(document: Path) -> list[tuple[str, str]]:
    """Places in the repository and anchors; the site is checked by building it."""
    return LINK.findall(FENCED.sub("", document.read_text()))


def leads_somewhere(document: Path, place: str, anchor: str) -> bool:
    target = document.parent / place if place else document
    return target.exists() and (not anchor or anchor in anchors(target))


def anchors(document: Path) -> set[str]:
    """What GitHub makes of headings: small letters, without punctuation, hyphens for blanks."""
    headings = HEADING.findall(FENCED.sub("", document.read_text()))
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in plain}


def test_every_direct_dependency_has_its_reason() -> None:
    manifests = [tomllib.loads(path.read_text()) for path in ROOT.glob("rust/**/Cargo.toml")]
    crates = {
        name
        for manifest in manifests
        for table in ("dependencies", "dev-dependencies", "build-dependencies")
        for name in manifest.get(table, {})
        if not name.startswith("mpreg")
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [
        *project["project"]["dependencies"], *project["build-system"]["requires"], *project["dependency-groups"]["dev"]
    ]  # fmt: skip
    packages = {re.split(r"[^A-Za-z0-9_-]", text)[0] for text in wanted}
    page = (ROOT / "docs/internals/dependencies.md").read_text()
    told = set(re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE))
    assert told == crates | packages
