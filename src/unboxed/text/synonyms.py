"""Nouns that name the same kind of thing in pictures, and kinds of things, from lists: no lexical file is needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from unboxed.text.lexicon import noun_key

__all__ = ["broader_keys", "is_other_thing", "name_key", "named_lines", "synonym_key"]

_SYNONYMS = """
    airplane: plane, aeroplane, jet, aircraft, airliner, jetliner, jumbo jet, passenger jet
    baby: infant
    backpack: rucksack, knapsack, back pack
    barbecue: grill, barbeque, bbq
    bicycle: bike, pushbike, push bike
    bunny: rabbit
    burger: hamburger, cheeseburger
    cabinet: cupboard
    car: automobile, auto
    carpet: rug
    child: kid
    clothes: clothing, apparel
    couch: sofa, settee, loveseat
    curtain: drape
    cyclist: bicyclist
    donut: doughnut
    eyeglasses: spectacles
    father: dad, daddy
    faucet: tap
    firefighter: fireman
    handbag: purse, pocketbook
    helicopter: chopper
    man: guy, gentleman, male, dude, bloke
    mobile phone: phone, telephone, cellphone, cell phone, smartphone, smart phone, cellular phone
    mother: mom, mum, mommy
    motorcycle: motorbike, motor bike
    ocean: sea
    pants: trousers, slacks
    person: people, human
    policeman: cop
    puppy: pup
    refrigerator: fridge
    road: street, roadway
    sidewalk: pavement, footpath
    stroller: pram, pushchair, baby carriage
    tennis racket: racket, racquet, tennis racquet
    trash can: trashcan, garbage can, dustbin, wastebasket, rubbish bin, trash bin
    truck: lorry
    tv: television, television set, tv set, telly
    woman: lady, female, gal
"""

_KINDS = """
    airplane: biplane, fighter jet, propeller plane, seaplane, glider
    animal: dog, cat, bird, horse, cow, sheep, goat, pig, elephant, bear, zebra, giraffe, monkey, deer, lion, tiger,
    animal: rabbit, fox, wolf, camel, donkey, fish, turtle, frog, snake, squirrel, mouse, kangaroo, whale, dolphin
    bag: backpack, handbag, suitcase, briefcase, duffel bag, tote, satchel
    baseball bat: bat
    bed: bunk, crib, cot, mattress
    bicycle: tricycle, tandem, mountain bike
    bird: duck, goose, chicken, hen, rooster, swan, eagle, owl, parrot, pigeon, seagull, gull, dove, penguin, ostrich,
    bird: sparrow, crow, flamingo, pelican, turkey, heron, peacock, robin, duckling
    boat: ship, canoe, kayak, sailboat, yacht, ferry, rowboat, motorboat, speedboat, gondola, dinghy, raft, vessel
    building: house, church, skyscraper, tower, barn, cabin, temple, castle, cottage, hut, mansion, cathedral
    bus: minibus, school bus, double decker, coach
    car: sedan, suv, taxi, cab, convertible, hatchback, jeep, limousine, limo, minivan, race car, sports car
    cat: kitten, kitty, tabby
    chair: armchair, recliner, rocking chair, lawn chair, folding chair, office chair, stool, wheelchair, deck chair
    clothing: shirt, t-shirt, jacket, coat, pants, jeans, shorts, dress, skirt, sweater, hoodie, suit, vest, hat, sock
    clock: alarm clock, wall clock
    computer: laptop, desktop, macbook
    cow: calf, bull, ox, cattle, heifer, steer
    cup: mug, teacup, coffee cup
    dining table: table, dinner table, kitchen table
    dog: puppy, poodle, terrier, retriever, labrador, greyhound, bulldog, collie, dachshund, beagle, husky, spaniel,
    dog: doggy, hound, chihuahua, pug, mutt, german shepherd
    food: pizza, sandwich, burger, cake, donut, hot dog, fruit, vegetable, bread, salad, pasta, soup, cheese, cookie
    fruit: apple, banana, orange, pear, grape, strawberry, lemon, lime, peach, melon, pineapple, cherry, mango
    furniture: chair, couch, dining table, bed, desk, cabinet, bookshelf, bookcase, dresser, bench, shelf, wardrobe
    glass: wine glass
    hat: cap, beanie, fedora, sombrero, baseball cap, cowboy hat, straw hat, bonnet, beret
    horse: pony, foal, mare, stallion, colt
    instrument: guitar, drum, piano, violin, trumpet, saxophone, flute, cello, accordion, bass guitar, clarinet
    mobile phone: iphone
    motorcycle: moped, dirt bike, scooter, dirtbike
    oven: stove, cooker, toaster oven
    potted plant: houseplant, house plant, plant
    sheep: lamb, ram, ewe
    shoe: sneaker, boot, sandal, heel, slipper, trainer, loafer
    sports ball: ball, baseball, football, basketball, soccer ball, tennis ball, volleyball, soccerball, golf ball
    tie: necktie, bow tie, bowtie
    truck: pickup, pickup truck, fire truck, firetruck, dump truck, semi, tow truck
    vegetable: carrot, broccoli, potato, tomato, onion, lettuce, cucumber, cabbage, corn
    vehicle: car, truck, bus, train, motorcycle, bicycle, boat, airplane, van, helicopter, tractor, trailer, tank, tram
    wine glass: wineglass, goblet
"""

_OTHER_THINGS = """
    hot dog, corn dog, chili dog, teddy bear, gummy bear, rocking horse, sea horse, hobby horse, sea lion, guinea pig,
    piggy bank, toy car, toy train, toy truck, toy airplane, toy plane, model airplane, model train, sand castle,
    paper plane, paper airplane, traffic light, stop light, rubber duck, bumper car, cable car, snow man, snow angel,
    eye glass, parking meter, bird house, dog house, tree house, doll house, fish tank, water tank, gas tank, tank top,
    fruit bat, bowling ball, crystal ball, disco ball, meat ball, bike rack, soap opera, clothes horse, pool table
"""
"""Compounds that are not of the kind that their last word names."""


@lru_cache(maxsize=2**14)
def name_key(name: str) -> str:
    """A key that is equal for the inflections and the letter case of a name of one or several words.

    Examples:
        >>> name_key("Wine  glasses") == name_key("wine glass")
        True
    """
    before, _, last = " ".join(name.lower().split()).rpartition(" ")
    return f"{before} {noun_key(last)}" if before else noun_key(last)


def named_lines(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The names of a text and their synonyms: a name a line, with its synonyms behind a colon, separated by commas.

    Blank lines and lines that begin with `#` are left out.

    Examples:
        >>> list(named_lines("# vehicles\\nairplane: plane, jet\\nbus\\n"))
        [('airplane', ('plane', 'jet')), ('bus', ())]
    """
    for line in text.splitlines():
        name, _, others = line.partition(":")
        if name.strip() and not name.lstrip().startswith("#"):
            yield " ".join(name.split()), tuple(" ".join(part.split()) for part in others.split(",") if part.strip())


def synonym_key(name: str) -> str:
    """The key of a name, or of the first one of its synonyms.

    Examples:
        >>> synonym_key("jets") == synonym_key("airplane"), synonym_key("puppies") == synonym_key("dog")
        (True, False)
    """
    key = name_key(name)
    return _synonyms().get(key, key)


def broader_keys(names: Iterable[str]) -> Iterator[str]:
    """The `synonym_key` of each name, then of the kinds that it belongs to, the nearest ones first.

    Examples:
        >>> list(broader_keys(["puppies"]))
        ['puppy', 'dog', 'animal']
    """
    level = list(dict.fromkeys(map(synonym_key, names)))
    seen: set[str] = set()
    while level:
        yield from level
        seen.update(level)
        above = [kind for key in level for kind in _kinds().get(key, ())]
        level = [kind for kind in dict.fromkeys(above) if kind not in seen]


def is_other_thing(name: str) -> bool:
    """Whether a compound is not of the kind that its last word names: a hot dog is no dog."""
    return name_key(name) in _other_things()


@lru_cache(maxsize=1)
def _synonyms() -> dict[str, str]:
    return {name_key(other): name_key(name) for name, others in named_lines(_SYNONYMS) for other in (name, *others)}


@lru_cache(maxsize=1)
def _kinds() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for kind, names in named_lines(_KINDS):
        for name in names:
            key = synonym_key(name)
            found[key] = (*found.get(key, ()), synonym_key(kind))
    return found


@lru_cache(maxsize=1)
def _other_things() -> frozenset[str]:
    return frozenset(name_key(name) for name in _OTHER_THINGS.split(",") if name.strip())
