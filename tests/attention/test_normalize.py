"""Normalization beside its definitions: lengths, standard deviations, batch statistics, and their edge cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unboxed.attention.normalize import RowBatchNorm, SharedBatchNorm, Standardize, inverse_norm, l2_normalize


@given(st.integers(0, 2**16))
def test_vectors_are_divided_by_their_lengths(seed: int) -> None:
    rows = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    torch.testing.assert_close(l2_normalize(rows), torch.nn.functional.normalize(rows, dim=-1))


def test_a_row_of_zeros_stays_zero_with_a_finite_gradient() -> None:
    rows = torch.zeros(2, 3, requires_grad=True)
    normalized = l2_normalize(rows)
    normalized.sum().backward()
    assert not normalized.any()
    assert rows.grad is not None and torch.isfinite(rows.grad).all()


def test_the_length_of_vectors_that_cancel_out_is_what_rounding_can_make_of_it() -> None:
    square, total = torch.tensor([4.0, -1e-9, 0.0]), torch.tensor([1.0, 2.0, 0.0])
    least = 2 * math.sqrt(4 * torch.finfo(torch.float32).eps)
    found = inverse_norm(square, total)
    assert found[:2].tolist() == pytest.approx([0.5, 1 / least])
    assert torch.isfinite(found).all()


def test_columns_are_standardized_by_what_was_measured() -> None:
    rng = np.random.default_rng(0)
    regions = [rng.normal(3, [2, 0.01, 50], (count, 3)).astype(np.float32) for count in (4, 1, 7)]
    standardize = Standardize(3, limit=1.5, smallest=0.1)
    standardize.measure(regions)
    rows = np.concatenate(regions).astype(np.float64)
    deviation = np.maximum(rows.std(axis=0), 0.1)  # the second column hardly varies
    expected = np.clip((rows - rows.mean(axis=0)) / deviation, -1.5, 1.5)
    mask_1R = torch.arange(len(rows))[None] != 2
    found = standardize(torch.from_numpy(rows).float()[None], mask_1R)[0].numpy()
    np.testing.assert_allclose(found[3:], expected[3:], atol=1e-4)
    assert not found[2].any()
    assert np.abs(found).max() == pytest.approx(1.5)


def test_all_columns_may_have_one_mean_and_one_deviation() -> None:
    """As CKD's features: (feature - mean) / deviation with two constants, however small the deviation is."""
    rng = np.random.default_rng(0)
    regions = [(0.2 + rng.normal(0, [0.02, 0.01, 0.03], (count, 3))).astype(np.float32) for count in (4, 1, 7)]
    standardize = Standardize(3)
    standardize.measure(regions, whole=True)
    rows = np.concatenate(regions).astype(np.float64)
    found = standardize(torch.from_numpy(rows).float()[None], torch.ones(1, len(rows), dtype=torch.bool))[0].numpy()
    np.testing.assert_allclose(found, (rows - rows.mean()) / rows.std(), atol=1e-3)


def test_measuring_nothing_leaves_inputs_near_as_they_are() -> None:
    standardize = Standardize(2)
    standardize.measure([])
    assert standardize.mean.tolist() == [0, 0] and standardize.deviation.tolist() == pytest.approx([0.1, 0.1])


def test_a_shared_channel_is_a_batch_norm_over_everything() -> None:
    rows = torch.randn(5, 7, dtype=torch.float64)
    normed = SharedBatchNorm().double()(rows)
    torch.testing.assert_close(normed, (rows - rows.mean()) / (rows.var(unbiased=False) + 1e-5).sqrt())


@pytest.mark.parametrize(("norm", "shape"), [(SharedBatchNorm(), (1, 1)), (RowBatchNorm(3), (1, 3))])
def test_a_batch_without_variance_is_normalized_by_the_running_statistics(
    norm: torch.nn.BatchNorm1d, shape: tuple[int, int]
) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.fill_(0.5)
    norm.running_var.fill_(4.0)
    rows = torch.randn(shape)
    in_training = norm.train()(rows)
    torch.testing.assert_close(in_training, (rows - 0.5) / (4 + norm.eps) ** 0.5)
    torch.testing.assert_close(in_training, norm.eval()(rows))
    assert norm.running_mean.unique().tolist() == [0.5]
