"""A run evaluated on a split: with gold boxes and a report, without them, and with each option."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unboxed.cli import main
from unboxed.data.dataset import load_dataset
from unboxed.errors import EvaluationError, StoreError
from unboxed.evaluation.evaluate import evaluate_run
from unboxed.evaluation.evaluated_run import EvaluatedRun
from unboxed.evaluation.grounded_split import ground_split, score_groundings, score_word_attention
from unboxed.evaluation.grounding import METRICS, GroundedMention, GroundingScores, score_grounding
from unboxed.evaluation.options import BoxRuleOptions, EvaluationOptions
from unboxed.evaluation.pair_scores import score_pairs
from unboxed.evaluation.retrieval import score_retrieval
from unboxed.evaluation.split_regions import embedded_split
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.grounder import Grounder
from unboxed.recipes.infoground import InfoGround
from unboxed.recipes.schedule import Schedule
from unboxed.recipes.vse import VSE
from unboxed.regions.extraction import extract
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.runtime import locks
from unboxed.runtime.locks import file_lock, folder_lock
from unboxed.training.fitting import fit
from unboxed.training.options import FitSettings

World = tuple[Path, Path]
NO_REPORT = EvaluationOptions(split="test", report=False, retrieval=False)


@pytest.fixture(scope="module")
def drawn_run(tiny_world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("evaluate") / "run"
    options = InfoGround(negatives="none", joint_width=16, schedule=Schedule(epochs=1, images_per_batch=8))
    fit("infoground", options, FitSettings(tiny_world[0], run, regions=tiny_world[1]))
    return run


def test_a_split_with_gold_boxes_gets_all_metrics_and_a_report(drawn_run: Path, tiny_world: World) -> None:
    result = evaluate_run(drawn_run, tiny_world[0], EvaluationOptions(split="test"))
    assert result.scores is not None and result.retrieval is not None and result.attention is not None
    assert set(result.scores.estimates) == set(METRICS)
    assert result.scores.images == 8
    assert result.heat is None
    assert result.sets is not None and result.sets.phrases > 0
    assert f"f1_all {result.sets['f1_all']:.1f}" in result.facts["Sets of boxes"]
    assert set(result.facts) >= {"Attention", "Retrieval"} and "Heat maps" not in result.facts
    assert result.facts["Few images"].startswith("8 images can say little")
    assert len(result.baselines) == 5
    line = result.facts["Untrained baselines"]
    assert all(f"{name} {own['recall_any@1']:.1f}" in line for name, own in result.baselines.items())
    found = json.loads(json.dumps(result.to_dict()))
    assert list(found)[:5] == ["run", "data", "split", "photos", "phrases"]
    assert found["sets"]["f1_all"] == pytest.approx(result.sets["f1_all"], abs=1e-3)
    assert found["retrieval"]["rsum"] == pytest.approx(result.retrieval.rsum, abs=1e-3)
    assert result.report == drawn_run / "report-test.html"
    page = result.report.read_text(encoding="utf-8")
    assert f"{result.scores['recall_any@1']:.1f}" in page
    assert "Precision" in page or "precision" in page
    assert "1 epoch, seed 0" in page


@pytest.mark.parametrize(
    ("right", "verdict"),
    [(3, "25.0 above image centre"), (2, "no better than image centre"),
     (1, "25.0 below image centre, which is better on this split")],
)  # fmt: skip
def test_a_run_is_compared_with_the_best_untrained_baseline(right: int, verdict: str) -> None:
    def scores(right: int) -> GroundingScores:
        gold, wrong = np.array([[0, 0, 9, 9]]), np.array([[20, 0, 29, 9]])
        answers = [gold] * right + [wrong] * (4 - right)
        return score_grounding(GroundedMention("image", (), gold, answer, answer) for answer in answers)

    baselines = {"random region": scores(0), "image centre": scores(2)}
    result = EvaluatedRun(Path("run"), Path("data.toml"), "test", scores(right), baselines=baselines)
    line = result.facts["Untrained baselines"]
    assert line == f"recall_any@1: image centre 50.0, random region 0.0; the run, {25 * right}.0, is {verdict}"


def test_the_command_prints_the_scores_and_where_the_report_is(
    drawn_run: Path, tiny_world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["evaluate", str(drawn_run), "--data", str(tiny_world[0]), "--split", "test", "--folds", "2"])
    printed = capsys.readouterr()
    assert "recall_any@1" in printed.out
    assert "mean of 2 folds of 4 images" in printed.err
    assert "Few images: 8 images can say little" in printed.err
    assert f"Report: {drawn_run / 'report-test.html'}" in printed.err


def test_folds_of_unequal_size_are_refused_before_anything_is_evaluated(
    drawn_run: Path, tiny_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unboxed.evaluation.evaluate.embedded_split", lambda *_: pytest.fail("the run is opened"))
    with pytest.raises(EvaluationError, match="8 images do not make 3 folds of equal size"):
        evaluate_run(drawn_run, tiny_world[0], EvaluationOptions(split="test", folds=3))


def test_what_is_not_requested_is_not_evaluated(drawn_run: Path, tiny_world: World) -> None:
    result = evaluate_run(drawn_run, tiny_world[0], NO_REPORT)
    assert (result.retrieval, result.report, result.baselines) == (None, None, {})
    assert result.scores is not None


def test_an_ensemble_ranks_by_the_mean_of_the_scores(
    drawn_run: Path, tiny_world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, store = tiny_world
    other = VSE(joint_width=8, schedule=Schedule(epochs=1, images_per_batch=8, captions_per_image=1))
    fit("vse", other, FitSettings(data, tmp_path / "other", regions=store))
    given = EvaluationOptions(split="test", regions=store, report=False, ensemble=(tmp_path / "other",))
    result = evaluate_run(drawn_run, data, given)
    examples = load_dataset(data).split("test").examples
    runs = [EmbeddedSplit(Grounder.load(run), RegionStore.open(store)) for run in (drawn_run, tmp_path / "other")]
    one, two = (score_pairs(run, examples) for run in runs)
    expected = score_retrieval((one.score_BC + two.score_BC) / 2, one.image_of_C)
    assert result.retrieval is not None
    assert (result.retrieval.rank_B.tolist(), result.retrieval.rank_C.tolist()) == (
        expected.rank_B.tolist(),
        expected.rank_C.tolist(),
    )
    alone = evaluate_run(drawn_run, data, replace(given, ensemble=()))
    assert alone.retrieval is not None and alone.retrieval.rank_C.tolist() != expected.rank_C.tolist()
    assert alone.scores is not None and result.scores is not None
    assert alone.scores.to_dict() == result.scores.to_dict()
    assert result.to_dict()["ensemble"] == [str(tmp_path / "other")] and "ensemble" not in alone.to_dict()
    with pytest.raises(EvaluationError, match="leave out --no-retrieval"):
        evaluate_run(drawn_run, data, replace(given, retrieval=False))
    main(["evaluate", str(drawn_run), "--data", str(data), "--split", "test", "--regions", str(store), "--no-report",
          "--ensemble", str(tmp_path / "other")])  # fmt: skip
    assert f"Retrieval, mean of the scores with {tmp_path / 'other'}: {expected}" in capsys.readouterr().err


def test_a_given_store_is_used_if_its_settings_are_those_of_the_run(
    drawn_run: Path, tiny_world: World, tmp_path: Path
) -> None:
    given = EvaluationOptions(split="test", regions=tiny_world[1], report=False)
    whole, plain = evaluate_run(drawn_run, tiny_world[0], given), evaluate_run(drawn_run, tiny_world[0], NO_REPORT)
    assert whole.scores is not None and plain.scores is not None
    assert whole.scores.estimates == plain.scores.estimates
    examples = load_dataset(tiny_world[0]).split("test").examples
    extract(examples, RegionSettings.weight_free(), tmp_path / "other", progress=False)
    with pytest.raises(StoreError, match="made with other settings than the run"):
        evaluate_run(drawn_run, tiny_world[0], EvaluationOptions(split="test", regions=tmp_path / "other"))


def test_without_the_store_of_training_regions_are_extracted_into_the_run(
    drawn_run: Path, tiny_world: World, tmp_path: Path
) -> None:
    run = _without_its_store(drawn_run, tmp_path)
    shown: list[str] = []
    found = evaluate_run(run, tiny_world[0], NO_REPORT, show=shown.append)
    expected = evaluate_run(drawn_run, tiny_world[0], NO_REPORT)
    assert found.scores is not None and expected.scores is not None
    assert found.scores.estimates == expected.scores.estimates
    assert shown == ["Extracting regions of 8 images of the split test"]
    assert (run / "store").is_dir()


def _without_its_store(drawn_run: Path, tmp_path: Path) -> Path:
    run = tmp_path / "run"
    shutil.copytree(drawn_run, run)
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    config["facts"]["store"] = str(tmp_path / "gone")
    (run / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return run


@pytest.mark.parametrize("lock", [folder_lock, file_lock])
def test_a_second_evaluation_of_a_run_waits_for_the_regions_of_the_first(
    drawn_run: Path,
    tiny_world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lock: Callable[[Path], AbstractContextManager[None]],
) -> None:
    run, lines, first = _without_its_store(drawn_run, tmp_path), list[str](), ExitStack()
    first.enter_context(lock(run / "store"))

    def show(line: str) -> None:
        lines.append(line)
        if "waiting for it to end" in line:
            first.close()

    monkeypatch.setattr(locks.progress, "show", show)
    split = load_dataset(tiny_world[0]).split("test")
    embedded = embedded_split(run, split, NO_REPORT, show)
    assert all(example.image_id in embedded for example in split.examples)
    waiting = [line.startswith(f"{run / 'store'} is being written by process") for line in lines]
    assert waiting[:2] == [False, True] and not any(waiting[2:])  # the progress follows


def test_a_run_without_a_log_has_a_report_without_curves(drawn_run: Path, tiny_world: World, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(drawn_run, run)
    (run / "log.jsonl").unlink()
    result = evaluate_run(run, tiny_world[0], EvaluationOptions(split="test", retrieval=False))
    assert result.report is not None
    page = result.report.read_text(encoding="utf-8")
    assert "Over optimizer steps" not in page and "Loss" not in page
    assert page.index("Attention of words") < page.index("Attention: precision over recall")


def test_the_attention_of_words_is_not_called_a_curve_of_training(
    drawn_run: Path, tiny_world: World, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(drawn_run, run)
    with (run / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write("".join(f'{{"step": {step}, "loss": 1.5}}\n' for step in (1, 2)))
    result = evaluate_run(run, tiny_world[0], EvaluationOptions(split="test", retrieval=False))
    assert result.report is not None
    page = result.report.read_text(encoding="utf-8")
    of_training = page[page.index("Over optimizer steps") : page.index("Attention of words")]
    assert "Loss" in of_training and "precision over recall" not in of_training


def test_every_line_of_the_result_names_the_convention_of_boxes(drawn_run: Path, tiny_world: World) -> None:
    options = replace(NO_REPORT, rule=BoxRuleOptions(boxes="inclusive", overlap="above"))
    result = evaluate_run(drawn_run, tiny_world[0], options)
    assert result.scores is not None and "inclusive boxes, IoU > 0.5" in str(result.scores.rule)
    assert "IoU of inclusive boxes > 0.5 with any gold box" in result.facts["Attention"]


def test_attention_cannot_be_scored_where_no_region_overlaps_a_gold_box(
    drawn_run: Path, tiny_world: World, tmp_path: Path
) -> None:
    """Gold boxes that no region overlaps: grounding is scored, attention cannot be."""
    examples = load_dataset(tiny_world[0]).split("test").examples
    far = np.array([[0, 0, 1e-3, 1e-3]], np.float32)
    moved = [
        replace(
            e, captions=tuple(replace(c, phrases=tuple(replace(p, boxes=far) for p in c.phrases)) for c in e.captions)
        )
        for e in examples
    ]
    split = EmbeddedSplit(Grounder.load(drawn_run), RegionStore.open(tiny_world[1]))
    grounded = list(ground_split(split, moved))
    assert score_word_attention(grounded) is None
    assert score_groundings(grounded)["upper_bound_any"] == 0


def test_proposals_need_a_heat_map(drawn_run: Path, tiny_world: World) -> None:
    with pytest.raises(EvaluationError, match=r"infoground ranks regions.*--proposals"):
        evaluate_run(drawn_run, tiny_world[0], EvaluationOptions(split="test", proposals=tiny_world[1]))


def test_retrieval_is_scored_where_there_are_no_boxes(tiny_run: Path, tiny_dataset: Path) -> None:
    shown: list[str] = []
    result = evaluate_run(tiny_run, tiny_dataset, show=shown.append)
    assert result.scores is None and result.report is None
    assert result.retrieval is not None and result.retrieval.rsum > 0
    assert any("it has no gold boxes" in line for line in shown)


def unsplit_copy(dataset: Path, folder: Path) -> Path:
    """The tiny dataset as a table without a column of splits."""
    shutil.copytree(dataset.parent / "photos", folder / "photos")
    rows = (dataset.parent / "captions.csv").read_text(encoding="utf-8").splitlines()
    without = [row.rpartition(",")[0] for row in rows]
    table = folder / "photos.csv"
    table.write_text("\n".join([without[0], *(f"photos/{row}" for row in without[1:])]) + "\n", encoding="utf-8")
    return table


def test_a_table_without_val_is_evaluated_on_what_training_held_out(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["evaluate", str(tiny_run), "--data", str(unsplit_copy(tiny_dataset, tmp_path)), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["split"] == "val" and "recall_any@1" not in found and found["retrieval"]["rsum"] > 0


def test_an_unreadable_image_is_skipped_or_stops_the_evaluation(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_dataset.parent, tmp_path / "broken")
    (tmp_path / "broken" / "photos" / "5.png").write_bytes(b"not an image")
    command = ["evaluate", str(tiny_run), "--data", str(tmp_path / "broken" / "data.toml"), "--json"]
    main(command)
    printed = capsys.readouterr()
    assert "Skipped 5.png" in printed.err
    assert "full, 7 images" in json.loads(printed.out)["retrieval"]["protocol"]
    with pytest.raises(SystemExit):
        main([*command, "--strict"])
    assert "5.png" in capsys.readouterr().err


def test_the_boxes_of_a_run_are_written_and_score_as_the_run_does(
    drawn_run: Path, tiny_world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, file = tiny_world[0], tmp_path / "boxes.jsonl"
    run = evaluate_run(drawn_run, data, replace(NO_REPORT, write_predictions=file))
    beside = evaluate_run(drawn_run, data, replace(NO_REPORT, predictions=file))
    assert run.scores is not None and beside.predictions is not None
    ranked = [metric for metric in METRICS if not metric.startswith("upper_bound")]
    for metric in ranked:
        assert beside.predictions.scores[metric] == run.scores[metric]
        assert beside.predictions.scores.intervals[metric] == run.scores.intervals[metric]
    assert run.sets is not None and beside.predictions.sets is not None
    assert beside.predictions.sets["f1_all"] == run.sets["f1_all"]
    assert beside.to_dict()["run_minus_predictions"] == {"recall_any@1": [0, 0, 0], "pointing_any": [0, 0, 0]}
    main(["evaluate", "--data", str(data), "--split", "test", "--predictions", str(file), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["run"] is None and found["predictions"]["recall_any"] == run.scores.to_dict()["recall_any"]
    with pytest.raises(SystemExit):
        main(["evaluate", "--data", str(data)])
    assert "name the folder of a run, or --predictions FILE" in capsys.readouterr().err


def test_all_images_are_a_split(drawn_run: Path, tiny_world: World) -> None:
    result = evaluate_run(drawn_run, tiny_world[0], replace(NO_REPORT, split="all"))
    parts = [
        evaluate_run(drawn_run, tiny_world[0], replace(NO_REPORT, split=part)) for part in ("train", "val", "test")
    ]
    assert result.scores is not None and result.split == "all"
    assert "Few images" not in result.facts
    assert result.scores.images == sum(part.scores.images for part in parts if part.scores is not None) == 40


@pytest.mark.parametrize(("split", "trained_on"), [("train", 24), ("val", 0), ("test", 0), ("all", 24)])
def test_images_that_the_run_was_trained_on_are_counted(
    drawn_run: Path, tiny_world: World, split: str, trained_on: int
) -> None:
    result = evaluate_run(drawn_run, tiny_world[0], replace(NO_REPORT, split=split))
    assert result.trained_on == trained_on
    assert ("Images of the training" in result.facts) == ("trained_on" in result.to_dict()) == (trained_on > 0)
    if trained_on:
        assert "was trained on 24 images of these" in result.facts["Images of the training"]


def test_other_images_are_not_called_images_of_the_training(drawn_run: Path, tiny_world: World, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(tiny_world[0].parent, copied)
    result = evaluate_run(drawn_run, copied / tiny_world[0].name, replace(NO_REPORT, split="val"))
    assert result.trained_on is None
    assert "such as with --split all" in result.facts["Few images"]
    of_the_training = evaluate_run(drawn_run, tiny_world[0], replace(NO_REPORT, split="val"))
    assert "--split all" not in of_the_training.facts["Few images"]


def test_a_run_that_cannot_be_written_is_scored_without_a_report(
    drawn_run: Path, tiny_world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("unboxed.evaluation.evaluate.require_writable", refused)
    data, store = tiny_world
    with pytest.raises(SystemExit):
        main(["evaluate", *map(str, (drawn_run, "--data", data, "--split", "test", "--regions", store))])
    assert "(Permission denied); add --no-report" in capsys.readouterr().err
