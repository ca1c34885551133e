"""The GRU over packed captions: the states and gradients of `torch.nn.GRU`, and one step of `torch.nn.GRUCell`."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from unboxed.text.packed_gru import gates, gru_states


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("lengths", [[3, 6, 1, 6, 4], [1, 1], [5]], ids=str)
def test_states_and_gradients_are_those_of_torch(bidirectional: bool, lengths: list[int]) -> None:
    torch.manual_seed(0)
    gru = nn.GRU(4, 3, batch_first=True, bidirectional=bidirectional).double()
    mask_CW = torch.arange(7) < torch.tensor(lengths)[:, None]  # no caption has seven words
    inputs_CWE = torch.randn(len(lengths), 7, 4, dtype=torch.double, requires_grad=True)
    packed = pack_padded_sequence(inputs_CWE, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    expected_CWH, _ = pad_packed_sequence(gru(packed)[0], batch_first=True, total_length=7)
    states_CWH = gru_states(gru, inputs_CWE, mask_CW)
    torch.testing.assert_close(states_CWH, expected_CWH)
    weight_CWH = torch.randn_like(states_CWH)
    variables = [inputs_CWE, *gru.parameters()]
    gradients = torch.autograd.grad((states_CWH * weight_CWH).sum(), variables)
    expected = torch.autograd.grad((expected_CWH * weight_CWH).sum(), variables)
    torch.testing.assert_close(gradients, expected)


def test_a_gradient_of_the_last_states_alone_reaches_the_first_words() -> None:
    torch.manual_seed(0)
    gru = nn.GRU(4, 3, batch_first=True).double()
    inputs_CWE = torch.randn(2, 5, 4, dtype=torch.double, requires_grad=True)
    states_CWH = gru_states(gru, inputs_CWE, torch.ones(2, 5, dtype=torch.bool))
    (gradient,) = torch.autograd.grad(states_CWH[:, -1].sum(), inputs_CWE)
    (expected,) = torch.autograd.grad(gru(inputs_CWE)[1].sum(), inputs_CWE)
    torch.testing.assert_close(gradient, expected)
    assert gradient[:, 0].abs().min() > 0


def test_the_gates_are_those_of_a_cell() -> None:
    torch.manual_seed(0)
    cell = nn.GRUCell(4, 3).double()
    inputs, state = torch.randn(5, 4, dtype=torch.double), torch.randn(1, 3, dtype=torch.double)
    entering = nn.functional.linear(inputs, cell.weight_ih, cell.bias_ih)
    kept = nn.functional.linear(state, cell.weight_hh, cell.bias_hh)
    torch.testing.assert_close(gates(entering, kept, state), cell(inputs, state.expand(5, -1)))
