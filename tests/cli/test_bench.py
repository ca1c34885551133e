"""`unboxed bench` runs the benchmarks of a source checkout and prints or writes their results."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from unboxed.cli import bench, main


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Two benchmarks, the second skipped; the number of results each time that the page is written."""
    results = {"fast": ({"ratio": 2.0}, None), "slow": (None, "needs a GPU")}
    pages: list[int] = []

    def run(names: list[str], show: object, size: int | None) -> list[SimpleNamespace]:
        assert size in (None, 100_000)
        return [SimpleNamespace(name=name, result=results[name][0], skipped=results[name][1]) for name in names]

    harness = SimpleNamespace(names=lambda: list(results), run=run)
    page = SimpleNamespace(
        write=lambda path, outcomes: pages.append(len(outcomes)),
        lines_for_people=lambda outcome: [f"{outcome.name}: done"],
    )
    monkeypatch.setitem(sys.modules, "benchmarks.harness", harness)
    monkeypatch.setitem(sys.modules, "benchmarks.page", page)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return pages


def test_all_benchmarks_run_by_default_and_the_page_is_written_after_each(
    written: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["bench", "--write", "page.md"])
    printed = capsys.readouterr()
    assert printed.out == "fast: done\nslow: done\n"
    assert printed.err == "Page: page.md\nPage: page.md\n"
    assert written == [1, 2]


def test_results_are_printed_as_json(written: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    main(["bench", "--json"])
    assert json.loads(capsys.readouterr().out) == {"fast": {"ratio": 2.0}, "slow": {"skipped": "needs a GPU"}}
    main(["bench", "slow", "--size", "1e5"])
    assert capsys.readouterr().out == "slow: done\n"
    assert written == []


def test_an_unknown_benchmark_and_an_installation_without_benchmarks_are_errors(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["bench", "--size", "nan"])
    assert "--size is nan; expected a number of images" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["bench", "nope"])
    assert "There is no benchmark 'nope'; there are " in capsys.readouterr().err
    monkeypatch.setattr(bench, "_CHECKOUT", tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(["bench"])
    assert "pip install --editable ." in capsys.readouterr().err
