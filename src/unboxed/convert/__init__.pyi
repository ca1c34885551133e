from .checkpoint import Checkpoint, read_checkpoint
from .conversion import convert
from .options import ConvertSettings
from .vocabulary import read_words

__all__ = ["Checkpoint", "ConvertSettings", "convert", "read_checkpoint", "read_words"]
