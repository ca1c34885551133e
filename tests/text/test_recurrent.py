"""The recurrent encoder: padding is invisible, and a substituted word needs no second reading of the caption."""

from __future__ import annotations

import torch

from unboxed.text.recurrent import RecurrentEncoder


def test_substituting_a_word_equals_encoding_the_changed_caption() -> None:
    torch.manual_seed(0)
    encoder = RecurrentEncoder(20, embedding_width=6, hidden_width=5).double().eval()
    tokens_CW = torch.randint(1, 20, (4, 7))
    lengths = torch.tensor([7, 1, 4, 5])
    mask_CW = torch.arange(7) < lengths[:, None]
    slot_C = torch.tensor([0, 0, 3, 2])
    substitutes_CN = torch.randint(1, 20, (4, 3))
    quick = encoder.substitute(encoder(tokens_CW, mask_CW), tokens_CW, mask_CW, slot_C, substitutes_CN)
    for c in range(4):
        for n in range(3):
            changed = tokens_CW[c : c + 1].clone()
            changed[0, slot_C[c]] = substitutes_CN[c, n]
            torch.testing.assert_close(quick[c, n], encoder(changed, mask_CW[c : c + 1])[0, slot_C[c]])


def test_padding_does_not_change_a_captions_words() -> None:
    torch.manual_seed(0)
    encoder = RecurrentEncoder(20, embedding_width=6, hidden_width=5).eval()
    tokens = torch.randint(1, 20, (1, 3))
    alone = encoder(tokens, torch.ones(1, 3, dtype=torch.bool))
    padded = encoder(torch.nn.functional.pad(tokens, (0, 4), value=9), torch.tensor([[True] * 3 + [False] * 4]))
    torch.testing.assert_close(padded[:, :3], alone)
    assert not padded[:, 3:].any()
