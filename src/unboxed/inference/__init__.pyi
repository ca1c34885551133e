from .arguments import ImageLike
from .calibration import PresenceCalibration
from .embedded_split import EmbeddedSplit
from .grounder import Grounder
from .ranks import retrieval_ranks, rsum
from .results import GroundedPhrase, Grounding, RankedImage
from .run_config import RunConfig

__all__ = [
    "EmbeddedSplit",
    "GroundedPhrase",
    "Grounder",
    "Grounding",
    "ImageLike",
    "PresenceCalibration",
    "RankedImage",
    "RunConfig",
    "retrieval_ranks",
    "rsum",
]
