"""The kinds of things in the drawn world, their Entities types, and the coarser classes of its detector."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["KINDS", "Kind", "class_names"]


@dataclass(frozen=True)
class Kind:
    """A kind of thing: its Entities type, and its class of the detector."""

    type: str
    label: str


_LABELS: dict[str, dict[str, tuple[str, ...]]] = {
    "people": {"person": ("man", "woman", "boy", "girl")},
    "clothing": {
        "shirt": ("shirt", "t-shirt"), "jacket": ("jacket",), "dress": ("dress",), "pants": ("trousers", "shorts"),
        "skirt": ("skirt",), "footwear": ("shoes", "boots"), "hat": ("hat", "cap", "helmet"), "scarf": ("scarf",),
        "eyewear": ("glasses",),
    },
    "bodyparts": {
        "hair": ("hair",), "beard": ("beard",), "arm": ("arm",), "leg": ("legs",), "tail": ("tail",), "ear": ("ears",),
        "horn": ("horns", "tusks"), "trunk": ("trunk",), "mane": ("mane",), "wing": ("wings",),
    },
    "animals": {
        "dog": ("dog",), "cat": ("cat",), "horse": ("horse",), "cattle": ("cow",), "sheep": ("sheep",),
        "elephant": ("elephant",), "rabbit": ("rabbit",), "bird": ("bird", "duck", "chicken"),
    },
    "vehicles": {
        "car": ("car",), "truck": ("truck",), "bus": ("bus",), "bicycle": ("bicycle",), "boat": ("boat",),
        "airplane": ("plane",), "aerostat": ("hot air balloon",), "tractor": ("tractor",), "train": ("train",),
    },
    "instruments": {
        "string instrument": ("guitar", "violin"), "trumpet": ("trumpet",), "keyboard": ("piano", "accordion"),
        "drum": ("drum",),
    },
    "scene": {
        "sky": ("sky",), "mountain": ("mountains",), "grass": ("grass",), "road": ("street",), "path": ("path",),
        "pavement": ("sidewalk",), "sand": ("sand",), "water": ("sea", "lake"), "snow": ("snow",),
        "wall": ("wall", "brick wall"), "woods": ("forest",), "floor": ("floor", "carpet"),
    },
    "other": {
        "tree": ("tree", "pine tree", "palm tree"), "plant": ("bush", "flowers"), "rock": ("rock",),
        "fence": ("fence",),
        "building": ("house", "building", "barn"), "roof": ("roof",), "celestial body": ("sun", "moon"),
        "cloud": ("cloud",),
        "bench": ("bench",), "chair": ("chair",), "table": ("table",), "couch": ("sofa",), "bed": ("bed",),
        "lamp": ("lamp", "street lamp"), "bookcase": ("bookshelf",), "sign": ("sign",),
        "picture frame": ("picture",),
        "window": ("window",), "clock": ("clock",), "door": ("door",), "rug": ("rug",), "ball": ("ball",),
        "parasol": ("umbrella",), "balloon": ("balloon",), "kite": ("kite",), "book": ("book",), "camera": ("camera",),
        "tableware": ("cup", "bottle", "vase"), "handbag": ("bag",), "flag": ("flag",), "racket": ("racket",),
        "dessert": ("ice cream", "cake"), "pizza": ("pizza",), "fruit": ("apple",), "stuffed toy": ("teddy bear",),
        "computer": ("laptop",), "container": ("box", "bucket", "basket"), "sail": ("sail",),
    },
}  # fmt: skip

KINDS: dict[str, Kind] = {
    kind: Kind(type_, label) for type_, labels in _LABELS.items() for label, kinds in labels.items() for kind in kinds
}


def class_names() -> tuple[str, ...]:
    """The detector's classes, in the order of its outputs."""
    return tuple(label for labels in _LABELS.values() for label in labels)
