"""docs/matching.md names every choice, and its example runs."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
import torch

from unboxed.attention.cosine_attention import AttentionScorer
from unboxed.evaluation.attention import ATTENTION_METRICS, AttentionProtocol
from unboxed.objectives.constraints import CcrVariant, CcsVariant

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "matching.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*ATTENTION_METRICS[2:], *get_args(CcrVariant)[1:], *get_args(CcsVariant)[1:]])
def test_every_name_is_defined(name: str) -> None:
    assert f"`{name}`" in DOCUMENT or f'"{name}"' in DOCUMENT


def test_the_protocols_defaults_are_the_documents() -> None:
    protocol = AttentionProtocol()
    assert str(protocol).startswith(
        "attention > 1 / R, IoU ≥ 0.5 with any gold box, all words of each phrase, mean over words"
    )
    assert (
        f"{len(protocol.thresholds)} thresholds from {protocol.thresholds[0]} to {protocol.thresholds[-1]} / R"
        in DOCUMENT
    )
    assert {field.name for field in fields(protocol)} >= set(re.findall(r"`(\w+_threshold|thresholds)`", DOCUMENT))


def test_the_scorers_values_are_the_published_ones() -> None:
    (row,) = re.findall(r"^\| λ \|(.*)\|$", DOCUMENT, flags=re.MULTILINE)
    written = [float(value) for value in re.findall(r"\d+", row)]
    scorers = [
        AttentionScorer.scan("t2i"),
        AttentionScorer.scan("i2t"),
        AttentionScorer.bfan(),
        AttentionScorer.pfan("t2i"),
        AttentionScorer.pfan("i2t"),
    ]
    assert written[:5] == [scorer.sharpness for scorer in scorers]


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    exec(code, {})
    assert "precision" in capsys.readouterr().out
