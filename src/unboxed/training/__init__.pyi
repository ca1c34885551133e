from .auto import default_fit
from .fitting import fit
from .loop import train
from .options import FitSettings
from .split_loader import SplitLoader
from .splits import sample_images, training_and_validation
from .validation import TrainableModel

__all__ = [
    "FitSettings",
    "SplitLoader",
    "TrainableModel",
    "default_fit",
    "fit",
    "sample_images",
    "train",
    "training_and_validation",
]
