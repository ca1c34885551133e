from .extraction import ExtractionSummary, extract
from .extractor import RegionExtractor
from .importing import ImportSummary, import_regions, open_features
from .settings import ImportedRegions, RegionSettings
from .store import RegionStore

__all__ = [
    "ExtractionSummary",
    "ImportSummary",
    "ImportedRegions",
    "RegionExtractor",
    "RegionSettings",
    "RegionStore",
    "extract",
    "import_regions",
    "open_features",
]
