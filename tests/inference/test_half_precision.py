"""Inference in half precision: which numbers change, by how much, and that `evaluate` says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import unboxed
from unboxed.cli import main
from unboxed.errors import DeviceError
from unboxed.evaluation.evaluated_run import EvaluatedRun
from unboxed.evaluation.grounding import METRICS, GroundingScores
from unboxed.export.groundings_file import run_key
from unboxed.runtime.precision import PRECISION_VARIABLE, computing_in, current_precision


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_embeddings_are_products_of_halves_in_single_precision(
    precision: str, tiny_run: Path, tiny_dataset: Path
) -> None:
    image = tiny_dataset.parent / "photos" / "0.png"
    exact, half = unboxed.load(tiny_run), unboxed.load(tiny_run, precision=precision)
    regions = exact.regions_of(image)
    one, other = (grounder.encode_images([regions]).regions.tensors for grounder in (exact, half))
    assert all(tensor.dtype == torch.float32 for tensor in other)
    assert not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(b, a, rtol=0.05, atol=0.05 * float(a.abs().max()))
    scores = [grounder.score([regions], ["A red box.", "A blue box."]) for grounder in (exact, half)]
    np.testing.assert_allclose(scores[1], scores[0], atol=0.05)


def test_evaluate_reports_the_difference_to_single_precision(
    tiny_run: Path, tiny_dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", str(tiny_run), "--data", str(tiny_dataset), "--no-report", "--json"]
    found = []
    for options in ([], ["--precision", "bf16"]):
        main([*command, *options])
        found.append(json.loads(capsys.readouterr().out))
    assert "minus_single_precision" not in found[0]
    differences = found[1]["minus_single_precision"]
    assert set(differences) == {"rsum"}  # this split has no gold boxes
    expected = found[1]["retrieval"]["rsum"] - found[0]["retrieval"]["rsum"]
    assert differences["rsum"][0] == pytest.approx(expected, abs=2e-3)
    assert differences["rsum"][1] <= differences["rsum"][0] <= differences["rsum"][2]


def test_boxes_are_compared_image_by_image() -> None:
    def scored(*right: bool) -> GroundingScores:
        outcomes_MX = np.repeat(np.array(right)[:, None], len(METRICS), axis=1)
        return GroundingScores.of_outcomes(("1", "2"), np.arange(2), ((), ()), outcomes_MX)

    single = EvaluatedRun(None, Path("data.toml"), "val", scores=scored(True, True))
    half = replace(single, scores=scored(True, False), single=single)
    assert {name: value.difference for name, value in half.differences.items()} == {
        "recall_any@1, minus single precision": -50,
        "pointing_any, minus single precision": -50,
    }


def test_the_precision_is_named_by_argument_context_or_variable(
    monkeypatch: pytest.MonkeyPatch, tiny_run: Path
) -> None:
    assert current_precision() == "32"
    single = run_key(tiny_run, None)
    monkeypatch.setenv(PRECISION_VARIABLE, "fp16")
    assert current_precision() == "fp16" and run_key(tiny_run, None) != single  # labels are not mixed
    with computing_in("bf16"):
        assert current_precision() == "bf16"
    with pytest.raises(DeviceError, match="There is no precision 'int4'; known are 32, bf16, fp16"):
        unboxed.load(tiny_run, precision="int4")
