"""The examples of the documentation run as they stand."""

from __future__ import annotations

import inspect
import re
import sys
import types
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from unboxed.cli import COMMANDS, main
from unboxed.data import readers
from unboxed.recipes import RECIPES, InfoGround, recipe_table
from unboxed.regions import sources

from .test_imports import ORDER

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_the_python_guide_runs_from_top_to_bottom(tiny_run: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 4
    image, out = tiny_dataset.parent / "photos" / "2.png", tmp_path / "picture.png"
    names = {"RUN": tiny_run, "PHOTO": image, "OUT": out, "FOLDER": tmp_path / "copy"}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    assert (tmp_path / "picture.png").is_file()


def test_the_guide_of_exports_runs_from_top_to_bottom(tiny_run: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "export.md").read_text(encoding="utf-8"), re.DOTALL)
    names = {"RUN": tiny_run, "PHOTO": tiny_dataset.parent / "photos" / "2.png", "OUT": tmp_path / "coco.json"}
    for block in blocks:
        exec(compile(block, "docs/export.md", "exec"), names)
    assert (tmp_path / "coco.json").is_file()


@pytest.mark.parametrize("page", ["recipes.md", "presets.md", "compare.md", "matching.md", "data.md"])
def test_the_examples_of_a_guide_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    names = {"__name__": "guide"}
    for block in blocks:
        exec(compile(block, page, "exec"), names)


def test_the_parts_are_added_as_the_guide_says(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "extending.md").read_text(encoding="utf-8"), re.DOTALL)
    guide = types.ModuleType("guide")
    monkeypatch.setitem(sys.modules, "guide", guide)  # where the types of annotations are looked up
    monkeypatch.setattr(readers, "READERS", readers.READERS)  # what the guide adds is removed after the test
    monkeypatch.setattr(sources, "SOURCES", sources.SOURCES)
    monkeypatch.setitem(RECIPES, "smooth", InfoGround)
    for block in blocks:
        exec(compile(block, "docs/extending.md", "exec", dont_inherit=True), vars(guide))
    tests = {name: test for name, test in vars(guide).items() if name.startswith("test_")}
    assert len(tests) == 6
    for test in tests.values():
        test(**{name: request.getfixturevalue(name) for name in inspect.signature(test).parameters})
    assert recipe_table().splitlines()[-1].startswith("| `smooth` | phrases | mean cosine")
    assert readers.format_table().splitlines()[-1].startswith("| `lines` | lines of text |")
    assert sources.source_table().splitlines()[-1].startswith("| `middle` | `whole_image` |")


def test_contributing_states_the_import_order_that_is_tested() -> None:
    page = (DOCS.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (order,) = re.findall(r"^    (errors < .*\n.*)$", page, re.MULTILINE)
    stated = [set(re.split(r",\s*", names.strip())) for names in order.split("<")]
    assert stated == [folders for folders in ORDER if folders != {"__main__"}]


def test_what_is_raised_is_named_as_the_reference_reads_it() -> None:
    """`make docs` stops at a section `Raises:` whose entries are not `Name: when`."""
    package = DOCS.parent / "src" / "unboxed"
    entries = [
        (file.name, entry)
        for file in package.rglob("*.py")
        for entry in re.findall(r"^ +Raises:\n +(.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert len(entries) > 50
    assert [entry for entry in entries if not re.match(r"[A-Z][\w, ]+: ", entry[1])] == []


def _commands() -> Iterator[tuple[str, list[str]]]:
    """Each command of the guides with the page that has it; lines that end in a backslash go on."""
    for page in (DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))):
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in re.findall(r"^\s*(?:\$ )?unboxed ([a-z].*)$", text, re.MULTILINE):
            yield page.name, re.sub(r'"[^"]*"|#.*', "", line).split()


def test_the_commands_of_the_guides_exist_with_their_options(capsys: pytest.CaptureFixture[str]) -> None:
    @cache
    def help_of(*names: str) -> str:
        with pytest.raises(SystemExit):
            main([*names, "--help"])
        return capsys.readouterr().out

    commands = list(_commands())
    assert len(commands) > 30
    for page, (verb, *rest) in commands:
        assert verb in COMMANDS, f"{page}: unboxed {verb}"
        recipe = rest[:1] if verb == "fit" and not rest[0].startswith("-") else []
        for option in (word for word in rest if re.match(r"--?[a-z]", word)):
            assert re.search(rf"{option}\b", help_of(verb, *recipe)), f"{page}: unboxed {verb} {option}"


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"])
def test_the_links_of_the_pages_outside_of_the_guides_lead_to_files(page: str) -> None:
    """Those of the guides are checked by `make docs`."""
    text = (DOCS.parent / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    assert [link for link in links if not (DOCS.parent / link).exists()] == []


def test_every_guide_is_in_the_navigation() -> None:
    nav = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    assert set(re.findall(r": (\S+\.md)", nav)) == {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
