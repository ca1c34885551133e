from .options import Limits, StudioAddress, StudioSources
from .serve import open_studio

__all__ = ["Limits", "StudioAddress", "StudioSources", "open_studio"]
