"""PFAN: position-focused attention.

Wang, Yang, Qian, Ma, Lu, Li, Fan: Position Focused Attention Network for Image-Text Matching. IJCAI 2019.

SCAN with position embeddings of regions: mixtures of the vectors of those blocks of a 16 x 16 grid that a box covers.

    content_BRL  = softmax_L(tanh <W x, vector of block L>)           x: the features of the region, L: 15 blocks
    mixed_BRL    = softmax_L(covered share of block L · content)
    region_BRD   = W' [x; Σ_L mixed · vector of block L], scaled to unit length
    score_BC     = SCAN's + 0.5 · mean_W max_R attention              for `t2i`; for `i2t` SCAN's alone

The blocks are computed from the boxes, or imported with SCAN's features (`{split}_boxes.npy` with 30 columns). With
`region_inputs="features"`, W begins with the random weights of PyTorch, as in the original code.
Where this differs from the paper by default: as listed in `scan.py`; W begins with Xavier's uniform numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unboxed.recipes.scan import SCAN

if TYPE_CHECKING:
    from torch import nn

    from unboxed.attention.cosine_attention import AttentionScorer

__all__ = ["PFAN"]


@dataclass(frozen=True)
class PFAN(SCAN):
    """PFAN. The paper: joint width 1024, position width 200.

    Attributes:
        position_width: width of a block's vector.
        mask_empty_blocks: leave slots without a block out of the mixture (the original code includes them).
    """

    attention: ClassVar[str] = "cross attention over regions with position embeddings"
    paper: ClassVar[str] = "Wang et al., IJCAI 2019"

    position_width: int = 64
    mask_empty_blocks: bool = False

    @property
    def reads_positions(self) -> bool:
        """True: of boxes, or of the blocks that were imported."""
        return True

    def paper_scorer(self) -> AttentionScorer:
        """PFAN's scorer."""
        from unboxed.attention.cosine_attention import AttentionScorer

        return AttentionScorer.pfan(self.direction)

    def region_encoder(self, region_width: int) -> nn.Module:
        """Regions with position embeddings."""
        from unboxed.attention.positions import PositionFocusedRegions

        encoder = PositionFocusedRegions(
            region_width, self.joint_width, self.position_width, self.mask_empty_blocks, unit=self.scoring.imgnorm
        )
        if self.region_inputs == "features":
            encoder.content.reset_parameters()
        return encoder
