"""Dropout beside its definition."""

from __future__ import annotations

import pytest
import torch

from unboxed.runtime.dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.4, 0.75])
def test_a_share_p_of_the_entries_is_zero_and_the_others_are_scaled(p: float) -> None:
    torch.manual_seed(0)
    entries = torch.ones(301, 999, dtype=torch.float64, requires_grad=True)
    result = Dropout(p)(entries)
    assert float((result == 0).double().mean()) == pytest.approx(p, abs=0.005)
    torch.testing.assert_close(result[result != 0], torch.tensor(1 / (1 - p)).double().expand(int((result != 0).sum())),
                               rtol=1e-4, atol=0)  # fmt: skip
    (gradient,) = torch.autograd.grad(result.sum(), entries)
    assert torch.equal(gradient, result)  # of ones


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(100_000, 4)) != 0).double()
    assert torch.cov(kept.T).fill_diagonal_(0).abs().max() < 0.005  # entries that share a random number
    assert kept.mean(dim=0).sub(0.5).abs().max() < 0.01


def test_a_seed_repeats_the_mask_and_evaluation_drops_nothing() -> None:
    layer, entries, results = Dropout(0.3), torch.rand(7, 3), []
    for _ in range(2):
        torch.manual_seed(5)
        results.append(layer(entries))
    assert torch.equal(*results) and not torch.equal(layer(entries), results[0])
    assert torch.equal(layer.eval()(entries), entries)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_the_mask_does_not_depend_on_the_precision(dtype: torch.dtype) -> None:
    layer, masks = Dropout(0.1), []
    for entries in (torch.ones(1000, 1000), torch.ones(1000, 1000, dtype=dtype)):
        torch.manual_seed(0)
        result = layer(entries)
        assert result.dtype == entries.dtype
        masks.append(result != 0)
    assert torch.equal(*masks)


@pytest.mark.parametrize(("p", "expected"), [(0.0, 1.0), (1.0, 0.0)])
def test_all_or_nothing(p: float, expected: float) -> None:
    assert (Dropout(p)(torch.ones(3, 5)) == expected).all()


def test_nothing_to_drop() -> None:
    assert Dropout(0.5)(torch.ones(0, 5)).shape == (0, 5)
