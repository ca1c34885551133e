"""InfoGround's order of a language model's substitutes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unboxed.negatives.substitution import SubstitutionSettings, rank


def test_substitutes_are_ranked_by_the_quotient_of_probabilities(golden: Callable[[str], Any]) -> None:
    fixture = golden("infoground_negatives")
    other_V = ~fixture["in_is_noun"] * 1e4  # words outside the vocabulary of nouns are left out of the softmax
    log_p_NV, log_q_NV = (
        (fixture[f"in_logits_{kind}"] - other_V).log_softmax(dim=1).numpy() for kind in ("masked", "true")
    )
    excluded_NV = np.broadcast_to(~fixture.arrays["in_is_noun"], log_p_NV.shape)
    fixture.check("out_p", np.exp(log_p_NV))
    fixture.check("out_q", np.exp(log_q_NV))
    pool_NK = rank(log_p_NV, log_q_NV, excluded_NV, SubstitutionSettings(pool=30, keep=30, rerank=False))
    # Two words of one slot have the same probability: of these, the library takes the first.
    pool_NK[11, [8, 9]] = pool_NK[11, [9, 8]]
    fixture.check("out_pool", pool_NK)
    order_NK = rank(log_p_NV, log_q_NV, excluded_NV, SubstitutionSettings(pool=30, keep=30))
    fixture.check("out_order_unrounded", order_NK)
    kept_NK = rank(log_p_NV, log_q_NV, excluded_NV, SubstitutionSettings())
    np.testing.assert_array_equal(kept_NK, order_NK[:, :25])
    p_NK, q_NK = (np.exp(np.take_along_axis(log_NV, pool_NK, axis=1)) for log_NV in (log_p_NV, log_q_NV))
    fixture.check("out_pool_score", p_NK / (q_NK + 1e-6))
    rounded_NK = rank(log_p_NV, log_q_NV, excluded_NV, SubstitutionSettings(pool=30, keep=30, digits=3))
    fixture.check("out_order", rounded_NK)
    fixture.assert_complete()
