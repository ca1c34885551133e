"""`unboxed cite` prints BibTeX of the project and of the papers that a run builds on."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from unboxed import __version__
from unboxed.cli import main
from unboxed.cli.cite import cite
from unboxed.errors import RunError
from unboxed.recipes import RECIPES, SCAN
from unboxed.recipes.papers import PAPERS, bibtex

ROOT = Path(__file__).resolve().parents[2]


def test_a_run_is_cited_with_the_paper_of_its_recipe(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["cite", str(tiny_run)])
    text = capsys.readouterr().out
    assert re.findall(r"^@(\w+)\{(\w+),$", text, re.MULTILINE) == [
        ("software", "unboxed"),
        ("inproceedings", "gupta2020infoground"),
    ]
    main(["cite", "infoground", "--json"])
    assert json.loads(capsys.readouterr().out) == {"recipe": "infoground", "bibtex": text}


def test_a_name_that_is_neither_a_run_nor_a_recipe_gets_the_names_of_recipes(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"neither a folder of a run nor a recipe; recipes are infoground, ckd, "):
        cite(tmp_path / "nonsense")


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_a_paper_of_the_year_that_its_table_names(name: str) -> None:
    text = bibtex(name, RECIPES[name]())
    entries = text.split("\n\n")
    assert len(entries) == 2 and all(entry.count("{") == entry.count("}") for entry in entries)
    surname, year = re.match(r"(\w+).*?(\d{4})", RECIPES[name].paper).groups()  # type: ignore[union-attr]
    assert PAPERS[name][1].startswith(surname) and PAPERS[name][4] == int(year)


def test_constraints_are_cited_where_they_are_used() -> None:
    scan = SCAN()
    text = bibtex("scan", replace(scan, constraint=replace(scan.constraint, constraints="ccr")))
    assert "@inproceedings{chen2023more," in text


def test_the_citation_file_has_the_version_of_the_package() -> None:
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
