"""Cells: their names, their outcomes on disk, and a fit that is interrupted and resumed."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from unboxed.errors import EvaluationError, RunError
from unboxed.experiments.cells import Cell, _named, main, parse_recipe, run_cell
from unboxed.experiments.learning import LearningCurve
from unboxed.experiments.options import CompareSettings
from unboxed.experiments.outcomes import Outcome
from unboxed.experiments.results import Comparison
from unboxed.inference.grounder import Grounder
from unboxed.recipes import InfoGround, preset
from unboxed.runtime.array_file import read_arrays
from unboxed.training import loop

_OLD_RANKING = "--confidence-weight 2 --exclusivity 1 --area-weight 0"
_OLD = "--images-per-batch 24 --captions-per-image 1 --warm-up 1"


def cell(settings: CompareSettings, seed: int = 0) -> Cell:
    data, regions = str(settings.data[0]), str(settings.regions[0])
    return Cell(settings.recipes[0], settings.options[0], seed, "scenes", data, "val", regions)


class TestRecipes:
    def test_they_are_parsed_as_on_the_command_line(self) -> None:
        parsed = parse_recipe("infoground --epochs 3 --negatives random", "--epochs 9 --train-fraction 0.1")
        assert (parsed.name, parsed.config.schedule.epochs, parsed.config.negatives) == ("infoground", 3, "random")
        assert (parsed.fit.train_fraction, parsed.preset) == (0.1, None)

    def test_a_preset_gives_the_options_that_are_not_given(self, tmp_path: Path) -> None:
        parsed = parse_recipe("scan --preset paper --joint-width 8", "--epochs 9 --hidden-width 8")
        paper = preset("scan", "paper")
        schedule = replace(paper.config.schedule, epochs=9)
        assert parsed.config == replace(paper.config, joint_width=8, hidden_width=8, schedule=schedule)
        assert (parsed.fit.min_count, parsed.preset) == (4, "paper")
        assert parse_recipe("scan --preset fast") == parse_recipe("scan")._replace(preset="fast")

    def test_the_values_of_a_preset_are_those_for_the_dataset(self, tmp_path: Path) -> None:
        (tmp_path / "a.jpg").write_bytes(b"")
        (tmp_path / "coco.csv").write_text("image,caption\na.jpg,a cat\n")
        coco = parse_recipe("scan --preset paper", data=tmp_path / "coco.csv")
        assert coco.config == preset("scan", "paper", "coco").config != preset("scan", "paper").config

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("unheard-of", "infoground"),
            ("", "infoground"),
            ("infoground --colour red", "--colour"),
            ("vse 'x", "is no list of options"),
        ],
    )
    def test_unknown_recipes_and_options_are_refused(self, text: str, message: str) -> None:
        with pytest.raises(EvaluationError, match=message):
            parse_recipe(text)


class TestNames:
    def test_all_that_determines_the_outcome_determines_the_name(self) -> None:
        one = Cell("infoground --negatives none", "--epochs 2", 0, "scenes", "data.toml", "val", "store")
        same = replace(one, options="", recipe=f"{one.recipe} {one.options}")
        assert same.name == one.name  # written differently, parsed to the same config
        others = [
            replace(one, seed=1),
            replace(one, recipe=f"{one.recipe} --dropout 0.2"),
            replace(one, recipe=f"{one.recipe} --train-fraction 0.5"),
            replace(one, data="another.toml"),
            replace(one, regions="another"),
        ]
        assert len({other.run_name for other in [one, *others]}) == 6
        assert replace(one, split="test").run_name == one.run_name
        assert replace(one, split="test").name != one.name

    @pytest.mark.parametrize(
        ("recipe", "name"),
        [
            (
                "infoground --negatives none --confidence-weight 2 --exclusivity 1 --area-weight 0",
                "scenes-infoground-920e62dd11-3-val",
            ),
            ("ckd --prior semantic --negatives lm", "scenes-ckd-5a48c125f0-3-val"),
            (f"scan --contrast npair --constraints both {_OLD}", "scenes-scan-7db7b31809-3-val"),
            ("npair --map features", "scenes-npair-0d27cc728d-3-val"),
            ("sprm --train-fraction 0.1", "scenes-sprm-67664f52a5-3-val"),
            (f"bfan --focal prob {_OLD}", "scenes-bfan-620448522a-3-val"),
            (f"pfan {_OLD}", "scenes-pfan-2115c9d3de-3-val"),
            (f"sgr {_OLD}", "scenes-sgr-d0261ed821-3-val"),
            (f"saf {_OLD}", "scenes-saf-1681704f22-3-val"),
            (f"vse {_OLD}", "scenes-vse-003c45441c-3-val"),
        ],
    )
    def test_outcomes_on_disk_keep_their_names(self, recipe: str, name: str) -> None:
        """The names that version 0.1 gave: a renamed field of a config would train everything again.

        Where a default has changed since then, the old value is given.
        """
        assert Cell(recipe, "--epochs 2", 3, "scenes", "data.toml", "val", "store").name == name

    def test_an_option_of_a_later_version_counts_where_it_is_not_the_default(self) -> None:
        @dataclass(frozen=True)
        class Nested:
            clip: float = 2.0
            newer: str = "a"

        @dataclass(frozen=True)
        class Options:
            epochs: int = 4
            later: float = 0.1
            schedule: Nested = field(default_factory=lambda: Nested(newer="what this recipe prefers"))
            unknown: Nested = field(default_factory=Nested)

        assert _named(Options(schedule=Nested())) == {"epochs": 4, "schedule": {"clip": 2.0}}
        assert _named(Options(later=0.2, unknown=Nested(newer="b"))) == {
            "epochs": 4,
            "later": 0.2,
            "schedule": {"clip": 2.0, "newer": "what this recipe prefers"},
            "unknown": {"clip": 2.0, "newer": "b"},
        }

    def test_another_teacher_trains_again_and_one_that_is_missing_is_named(
        self, tiny_run: Path, tmp_path: Path
    ) -> None:
        teacher = tmp_path / "teacher"
        one = Cell(f"ckd --distillation 1 --teacher {teacher}", "", 0, "scenes", "data.toml", "val", "store")
        with pytest.raises(RunError, match=r"There is no folder .*teacher; name that of a run"):
            _ = replace(one).run_name
        shutil.copytree(tiny_run, teacher)
        before = replace(one).run_name
        run = Grounder.load(teacher)
        with torch.no_grad():
            next(run.model.parameters()).add_(1)
        run.save(teacher)
        assert replace(one).run_name != before

    def test_code_that_computes_something_else_trains_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def names() -> list[str]:
            recipes = ("infoground", "ckd")
            return [Cell(name, "", 0, "scenes", "data.toml", "val", "store").run_name for name in recipes]

        before = names()
        monkeypatch.setattr(InfoGround, "revision", 1)
        after = names()
        assert after[0] != before[0]
        assert after[1] == before[1]


class TestOutcomes:
    def test_they_are_read_as_they_were_written(self, comparison: Comparison, tmp_path: Path) -> None:
        outcome = comparison.datasets[0].recipes[0].runs[0]
        outcome.save(tmp_path / "cell", {"note": 1})
        again = Outcome.load(tmp_path / "cell")
        assert {name: metric.value for name, metric in again.metrics.items()} == {
            name: metric.value for name, metric in outcome.metrics.items()
        }
        assert again.errors == outcome.errors
        content = json.loads((tmp_path / "cell.json").read_text())
        assert list(content) == ["note", "seconds", "metrics", "retrieval", "failures", "curve"]
        assert content["note"] == 1
        assert again.curve == outcome.curve
        assert (again.curve.epochs, again.curve.planned, again.curve.still_rising) == (2, 2, True)
        del content["curve"]  # as version 0.1 wrote it
        (tmp_path / "cell.json").write_text(json.dumps(content))
        assert Outcome.load(tmp_path / "cell").curve == LearningCurve()
        with np.load(tmp_path / "cell.npz") as stored:
            assert {"image_ids", "rank_B", "outcomes_MX", "more/attention_f1/hits"} <= set(stored.files)

    def test_a_type_of_two_words_stays_one_type(self, comparison: Comparison, tmp_path: Path) -> None:
        outcome = comparison.datasets[0].recipes[0].runs[0]
        assert outcome.grounding is not None
        kinds = [("traffic light",), (), ("dog", "traffic light")]
        types_of_M = tuple(kinds[m % 3] for m in range(len(outcome.grounding.types_of_M)))
        typed = replace(outcome, grounding=replace(outcome.grounding, types_of_M=types_of_M))
        typed.save(tmp_path / "cell", {})
        again = Outcome.load(tmp_path / "cell").grounding
        assert again is not None and again.types_of_M == types_of_M
        arrays = read_arrays(tmp_path / "cell.npz")  # as earlier versions wrote it: words, divided by spaces
        arrays["types_of_M"] = np.array([" ".join(types) for types in outcome.grounding.types_of_M])
        np.savez(tmp_path / "cell.npz", **arrays)
        again = Outcome.load(tmp_path / "cell").grounding
        assert again is not None and again.types_of_M == outcome.grounding.types_of_M

    @pytest.mark.parametrize("suffix", ["json", "npz"])
    def test_damaged_ones_are_named(self, comparison: Comparison, tmp_path: Path, suffix: str) -> None:
        comparison.datasets[0].recipes[0].runs[0].save(tmp_path / "cell", {})
        (tmp_path / f"cell.{suffix}").write_bytes(b"{}")
        with pytest.raises(EvaluationError, match="damaged"):
            Outcome.load(tmp_path / "cell")

    @pytest.mark.parametrize("name", ["outcomes_MX", "more/attention_f1/hits", "more/attention_f1/counts"])
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_outcomes_that_are_no_numbers_are_damaged(
        self, comparison: Comparison, tmp_path: Path, name: str, value: float
    ) -> None:
        comparison.datasets[0].recipes[0].runs[0].save(tmp_path / "cell", {})
        arrays = read_arrays(tmp_path / "cell.npz")
        arrays[name] = arrays[name].astype(np.float64)
        arrays[name][0, 0] = value
        np.savez(tmp_path / "cell.npz", **arrays)
        with pytest.raises(EvaluationError, match="damaged"):
            Outcome.load(tmp_path / "cell")

    @pytest.mark.parametrize("total", [[1, 2], ["a"] * 6, 3])
    def test_counts_of_errors_that_are_none_are_damaged(
        self, comparison: Comparison, tmp_path: Path, total: object
    ) -> None:
        comparison.datasets[0].recipes[0].runs[0].save(tmp_path / "cell", {})
        content = json.loads((tmp_path / "cell.json").read_text(encoding="utf-8"))
        content["failures"]["total"] = total
        (tmp_path / "cell.json").write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(EvaluationError, match="damaged"):
            Outcome.load(tmp_path / "cell")


class TestRuns:
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the killed fit's open log
    def test_an_interrupted_cell_resumes_and_ends_as_if_it_had_not_been_interrupted(
        self, comparison: Comparison, settings: CompareSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class KilledError(Exception):
            pass

        def kill(entry: dict[str, object]) -> None:
            if "val_loss" in entry:  # the first epoch is over, the second has not begun
                raise KilledError

        monkeypatch.setattr(loop, "LOG_STEPS", 1)
        first = cell(settings)
        with pytest.raises(KilledError):
            run_cell(first, tmp_path, report=kill)
        assert first.outcome(tmp_path) is None
        entries: list[dict[str, object]] = []
        run_cell(first, tmp_path, report=entries.append)
        assert {entry["epoch"] for entry in entries if "loss" in entry} == {1}
        whole, resumed = first.outcome(settings.out), first.outcome(tmp_path)
        assert whole is not None and whole.grounding is not None
        assert resumed is not None and resumed.grounding is not None
        np.testing.assert_array_equal(resumed.grounding.outcomes_MX, whole.grounding.outcomes_MX)
        np.testing.assert_array_equal(resumed.retrieval.rank_C, whole.retrieval.rank_C)

    def test_a_finished_cell_is_not_run_again(self, comparison: Comparison, settings: CompareSettings) -> None:
        lines: list[str] = []
        run_cell(cell(settings), settings.out, show=lines.append)
        assert lines == []

    def test_a_cell_is_run_from_a_file(
        self, comparison: Comparison, settings: CompareSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        order = tmp_path / "cell.json"
        order.write_text(json.dumps({"folder": str(settings.out), "cell": asdict(cell(settings))}))
        main([str(order)])
        broken = replace(cell(settings), data=str(tmp_path / "missing.toml"))
        order.write_text(json.dumps({"folder": str(tmp_path), "cell": asdict(broken)}))
        with pytest.raises(SystemExit, match="2"):
            main([str(order)])
        assert "error: " in capsys.readouterr().err
