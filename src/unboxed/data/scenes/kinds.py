"""The kinds of things in the drawn world, their Entities types, their detector classes, and the nouns that name them."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["KINDS", "NOUNS", "Kind", "Noun", "class_names"]


@dataclass(frozen=True)
class Kind:
    """A kind of thing: its Entities type, and the coarse class a detector calls it."""

    type: str
    label: str


@dataclass(frozen=True)
class Noun:
    """A noun, and everything it could mean.

    Attributes:
        plural: the plural, or None for nouns used in the singular only.
        kinds: all kinds that a viewer might call so; a phrase is ambiguous when two of them fit.
        requires: attributes a thing must have, such as `{"age": "old"}`.
        weight: how often it is chosen against the other nouns that fit.
    """

    plural: str | None
    kinds: frozenset[str]
    requires: dict[str, str] = field(default_factory=dict)
    weight: float = 1.0


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
        "tree": ("tree", "pine tree", "palm tree"), "plant": ("bush", "flowers"), "rock": ("rock",), "fence": ("fence",),
        "building": ("house", "building", "barn"), "roof": ("roof",), "celestial body": ("sun", "moon"), "cloud": ("cloud",),
        "bench": ("bench",), "chair": ("chair",), "table": ("table",), "couch": ("sofa",), "bed": ("bed",),
        "lamp": ("lamp", "street lamp"), "bookcase": ("bookshelf",), "sign": ("sign",), "picture frame": ("picture",),
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


def _noun(plural: str | None, kinds: str, weight: float = 1.0, **requires: str) -> Noun:
    return Noun(plural, frozenset(kinds.split(", ")), requires, weight)


_PEOPLE = "man, woman, boy, girl"
_ANIMALS = "dog, cat, horse, cow, sheep, elephant, rabbit, duck, chicken, bird"
_VEHICLES = "car, truck, bus, bicycle, boat, plane, tractor, train, hot air balloon"

NOUNS: dict[str, Noun] = {
    # people
    "man": _noun("men", "man", 3), "guy": _noun("guys", "man", 1.5), "gentleman": _noun("gentlemen", "man", 0.5),
    "woman": _noun("women", "woman", 3), "lady": _noun("ladies", "woman", 1.5),
    "boy": _noun("boys", "boy", 3), "girl": _noun("girls", "girl", 3),
    "kid": _noun("kids", "boy, girl", 1.2), "child": _noun("children", "boy, girl", 1.5),
    "person": _noun("people", _PEOPLE, 0.6), "adult": _noun("adults", "man, woman", 0.25),
    "blond": _noun(None, "woman, girl", 0.2, hair="blond"),
    # clothing
    "shirt": _noun("shirts", "shirt, t-shirt", 2), "t-shirt": _noun("t-shirts", "t-shirt"),
    "top": _noun("tops", "shirt, t-shirt", 1), "jacket": _noun("jackets", "jacket", 1.3),
    "coat": _noun("coats", "jacket"), "dress": _noun("dresses", "dress", 1.5), "gown": _noun("gowns", "dress", 0.6),
    "trousers": _noun(None, "trousers"), "pants": _noun(None, "trousers, shorts", 0.7),
    "jeans": _noun(None, "trousers", 1.5, colour="blue"), "shorts": _noun(None, "shorts", 2),
    "skirt": _noun("skirts", "skirt"), "shoes": _noun(None, "shoes, boots"), "sneakers": _noun(None, "shoes, boots", 0.7),
    "boots": _noun(None, "boots", 1.5), "hat": _noun("hats", "hat, cap, helmet", 1.5),
    "cap": _noun("caps", "cap, helmet", 1), "baseball cap": _noun("baseball caps", "cap", 0.7),
    "helmet": _noun("helmets", "helmet", 2), "scarf": _noun("scarves", "scarf"), "glasses": _noun(None, "glasses", 0.5),
    "sunglasses": _noun(None, "glasses", 1.5),
    # body parts
    "hair": _noun(None, "hair", 2), "curls": _noun(None, "hair", 0.6, style="curly"),
    "ponytail": _noun("ponytails", "hair", 1, style="ponytail"), "beard": _noun("beards", "beard"),
    "arm": _noun("arms", "arm"), "legs": _noun(None, "legs"), "tail": _noun("tails", "tail"), "ears": _noun(None, "ears"),
    "horns": _noun(None, "horns, tusks"), "tusks": _noun(None, "tusks"), "trunk": _noun("trunks", "trunk"),
    "mane": _noun("manes", "mane"), "wings": _noun(None, "wings"),
    # animals
    "dog": _noun("dogs", "dog", 2), "puppy": _noun("puppies", "dog", 1.5, size="small"), "cat": _noun("cats", "cat", 2),
    "kitten": _noun("kittens", "cat", 0.6), "horse": _noun("horses", "horse", 2), "pony": _noun("ponies", "horse", 0.5),
    "cow": _noun("cows", "cow", 2), "bull": _noun("bulls", "cow", 0.4), "sheep": _noun("sheep", "sheep", 2),
    "lamb": _noun("lambs", "sheep", 0.6), "elephant": _noun("elephants", "elephant", 2),
    "rabbit": _noun("rabbits", "rabbit", 1), "bunny": _noun("bunnies", "rabbit", 1), "duck": _noun("ducks", "duck", 2),
    "chicken": _noun("chickens", "chicken", 1), "hen": _noun("hens", "chicken", 1), "bird": _noun("birds", "bird, duck, chicken", 1.5),
    "animal": _noun("animals", _ANIMALS, 0.5), "pet": _noun("pets", "dog, cat, rabbit", 0.25),
    # vehicles
    "car": _noun("cars", "car", 2), "automobile": _noun("automobiles", "car", 0.8), "truck": _noun("trucks", "truck", 1),
    "lorry": _noun("lorries", "truck", 1), "bus": _noun("buses", "bus", 1), "coach": _noun("coaches", "bus", 0.6),
    "bicycle": _noun("bicycles", "bicycle", 1), "bike": _noun("bikes", "bicycle", 1.2), "boat": _noun("boats", "boat", 1),
    "ship": _noun("ships", "boat", 0.6), "vessel": _noun("vessels", "boat", 0.4), "plane": _noun("planes", "plane", 1),
    "jet": _noun("jets", "plane", 0.6), "aircraft": _noun(None, "plane, hot air balloon", 0.4),
    "hot air balloon": _noun("hot air balloons", "hot air balloon", 2), "tractor": _noun("tractors", "tractor", 2),
    "train": _noun("trains", "train", 1), "locomotive": _noun("locomotives", "train", 0.7),
    "vehicle": _noun("vehicles", _VEHICLES, 0.5), "sail": _noun("sails", "sail"),
    # instruments
    "guitar": _noun("guitars", "guitar", 2), "violin": _noun("violins", "violin", 1.2), "fiddle": _noun("fiddles", "violin", 0.7),
    "trumpet": _noun("trumpets", "trumpet", 1.2), "horn": _noun("horns", "trumpet", 0.6), "piano": _noun("pianos", "piano", 2),
    "accordion": _noun("accordions", "accordion", 2), "drum": _noun("drums", "drum", 2),
    "instrument": _noun("instruments", "guitar, violin, trumpet, piano, accordion, drum", 0.6),
    # scenery
    "sky": _noun(None, "sky"), "mountains": _noun(None, "mountains", 1.5), "peaks": _noun(None, "mountains", 0.5),
    "grass": _noun(None, "grass", 1.2), "field": _noun(None, "grass", 1), "lawn": _noun(None, "grass", 0.6),
    "meadow": _noun(None, "grass", 0.5), "street": _noun(None, "street", 1.2), "road": _noun(None, "street, path", 1),
    "path": _noun(None, "path", 1.2), "trail": _noun(None, "path", 0.8), "sidewalk": _noun(None, "sidewalk", 1.2),
    "pavement": _noun(None, "sidewalk", 0.8), "sand": _noun(None, "sand", 1.2), "beach": _noun(None, "sand", 1),
    "sea": _noun(None, "sea", 1), "ocean": _noun(None, "sea", 1), "lake": _noun(None, "lake", 1), "water": _noun(None, "sea, lake", 1),
    "snow": _noun(None, "snow", 1), "wall": _noun(None, "wall, brick wall", 1), "brick wall": _noun(None, "brick wall", 1.5),
    "forest": _noun(None, "forest", 1), "woods": _noun(None, "forest", 1), "floor": _noun(None, "floor, carpet", 1.5),
    "carpet": _noun(None, "carpet, rug", 1),
    # other things
    "tree": _noun("trees", "tree, pine tree, palm tree", 2), "pine tree": _noun("pine trees", "pine tree", 1),
    "palm tree": _noun("palm trees", "palm tree", 1.5), "bush": _noun("bushes", "bush", 1), "shrub": _noun("shrubs", "bush", 0.7),
    "plant": _noun("plants", "bush, flowers", 0.3), "flowers": _noun(None, "flowers", 1), "blossoms": _noun(None, "flowers", 0.5),
    "rock": _noun("rocks", "rock", 1), "boulder": _noun("boulders", "rock", 0.6), "stone": _noun("stones", "rock", 0.6),
    "fence": _noun("fences", "fence", 1), "house": _noun("houses", "house", 1.5), "home": _noun("homes", "house", 0.5),
    "building": _noun("buildings", "building, house, barn", 1.5), "tower": _noun("towers", "building", 0.6),
    "barn": _noun("barns", "barn", 1.5), "roof": _noun("roofs", "roof", 1), "sun": _noun(None, "sun", 1),
    "moon": _noun(None, "moon", 1), "cloud": _noun("clouds", "cloud", 1), "bench": _noun("benches", "bench", 1),
    "chair": _noun("chairs", "chair", 1), "table": _noun("tables", "table", 1), "desk": _noun("desks", "table", 0.4),
    "sofa": _noun("sofas", "sofa", 1), "couch": _noun("couches", "sofa", 0.7), "seat": _noun("seats", "chair, bench, sofa", 0.3),
    "bed": _noun("beds", "bed", 1), "lamp": _noun("lamps", "lamp, street lamp", 1), "light": _noun("lights", "lamp, street lamp", 0.4),
    "street lamp": _noun("street lamps", "street lamp", 1.3), "bookshelf": _noun("bookshelves", "bookshelf", 1),
    "shelf": _noun("shelves", "bookshelf", 0.6), "sign": _noun("signs", "sign", 1), "picture": _noun("pictures", "picture", 1),
    "painting": _noun("paintings", "picture", 1), "window": _noun("windows", "window", 1), "clock": _noun("clocks", "clock", 1),
    "door": _noun("doors", "door", 1), "rug": _noun("rugs", "rug, carpet", 1), "ball": _noun("balls", "ball", 1.5),
    "toy": _noun("toys", "ball, teddy bear, kite, balloon", 0.3), "umbrella": _noun("umbrellas", "umbrella", 1.5),
    "balloon": _noun("balloons", "balloon, hot air balloon", 1.5), "kite": _noun("kites", "kite", 1.5), "book": _noun("books", "book", 1),
    "camera": _noun("cameras", "camera", 1), "cup": _noun("cups", "cup", 1), "mug": _noun("mugs", "cup", 0.7),
    "bottle": _noun("bottles", "bottle", 1), "vase": _noun("vases", "vase", 1), "bag": _noun("bags", "bag", 1),
    "purse": _noun("purses", "bag", 0.7), "flag": _noun("flags", "flag", 1), "racket": _noun("rackets", "racket", 1),
    "ice cream": _noun(None, "ice cream", 1), "ice cream cone": _noun("ice cream cones", "ice cream", 0.7),
    "cake": _noun("cakes", "cake", 1), "pizza": _noun("pizzas", "pizza", 1), "food": _noun(None, "pizza, cake, apple, ice cream", 0.3),
    "apple": _noun("apples", "apple", 1), "teddy bear": _noun("teddy bears", "teddy bear", 1), "stuffed animal": _noun("stuffed animals", "teddy bear", 0.6),
    "laptop": _noun("laptops", "laptop", 1), "computer": _noun("computers", "laptop", 0.8), "box": _noun("boxes", "box", 1),
    "bucket": _noun("buckets", "bucket", 1), "pail": _noun("pails", "bucket", 0.5), "basket": _noun("baskets", "basket", 1),
}  # fmt: skip
