"""Claims: their names, what they train, and their notes."""

from __future__ import annotations

from pathlib import Path

import pytest

from unboxed.errors import EvaluationError
from unboxed.experiments import claims
from unboxed.experiments.cells import parse_recipe
from unboxed.experiments.claims import BASELINE, CLAIMS, Claim, paper_notes, tried_notes

CLAIM = Claim("name", "A paper", "one beats the other", "ckd", "ckd --distillation 0", "recall_any@1")


def test_names_of_claims_are_unique_and_every_note_has_its_claim() -> None:
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)
    assert set(tried_notes()) <= {claim.name for claim in CLAIMS}
    assert set(paper_notes()) <= {claim.paper for claim in CLAIMS}
    constrained = {claim.second.split()[0] for claim in CLAIMS if claim.metric == "attention_f1"}
    assert constrained == {"scan", "bfan", "pfan", "sgr"}


def test_a_note_without_its_claim_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(claims, "CLAIMS", (CLAIM,))
    content = '{"claims": {"another": "a note"}, "papers": {"Another paper": "a paragraph"}}'
    (tmp_path / "claims.json").write_text(content)
    monkeypatch.setattr(claims, "files", lambda package: tmp_path)
    with pytest.raises(EvaluationError, match="none of its claims"):
        tried_notes()
    with pytest.raises(EvaluationError, match="none of its papers"):
        paper_notes()


def test_the_first_side_of_a_grid_is_trained_once_its_options_are_chosen() -> None:
    assert CLAIM.recipes == ("ckd", "ckd --distillation 0")
    claim = Claim("name", "A paper", "", "scan --constraints ccr", "scan", "rsum", grid=("--scale 1", "--scale 2"))
    assert claim.recipes == ("scan",)
    assert claim.candidates == ("scan --constraints ccr --scale 1", "scan --constraints ccr --scale 2")
    against = Claim("name", "A paper", "", "sprm --untrained", f"{BASELINE}best", "rsum")
    assert against.recipes == ("sprm --untrained",)


def test_every_side_is_a_recipe_with_its_options() -> None:
    for recipe in {recipe for claim in CLAIMS for recipe in (*claim.recipes, *claim.candidates)}:
        parse_recipe(recipe, idle=False)
