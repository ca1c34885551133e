"""Classes of English words for the rules of the chunker, and keys that are equal for the inflections of a noun.

A word may be in several classes. A word in no class counts as a noun.
"""

from __future__ import annotations

import re

__all__ = [
    "ARTICLES",
    "AUXILIARIES",
    "COLLECTIVES",
    "COLOURS",
    "CONJUNCTIONS",
    "DETERMINERS",
    "ING_HEADS",
    "ING_NOUNS",
    "IRREGULAR_PAST",
    "NOUN_ADJECTIVES",
    "PLURALS",
    "PLURAL_DETERMINERS",
    "POSSESSIVES",
    "PREPOSITIONS",
    "PRONOUNS",
    "SINGULAR_DETERMINERS",
    "S_FORMS",
    "TRANSITIVE_ING",
    "VERBS",
    "is_adjective",
    "is_adverb",
    "is_numeral",
    "is_past_form",
    "is_plural",
    "is_pronominal",
    "noun_key",
    "word_set",
]


def word_set(text: str) -> frozenset[str]:
    """The words of a text that are separated by blanks."""
    return frozenset(text.split())


ARTICLES = word_set("a an the")
POSSESSIVES = word_set("my your his her its our their whose")
_NUMERALS = word_set(
    """
    one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen twenty
    thirty forty fifty hundred thousand dozen dozens hundreds thousands
    """
)
SINGULAR_DETERMINERS = word_set("a an one this another each every")
PLURAL_DETERMINERS = (_NUMERALS - {"one"}) | word_set("these those several many few both various multiple numerous")
_PRONOMINAL_DETERMINERS = (_NUMERALS | word_set("another some both all several many few each others most none")) - {
    "hundred"
}
DETERMINERS = (
    ARTICLES
    | POSSESSIVES
    | _NUMERALS
    | SINGULAR_DETERMINERS
    | PLURAL_DETERMINERS
    | word_set("some any no all either neither much more most other what which enough half such")
)
PRONOUNS = word_set(
    """
    i you he she it we they me him us them who whom myself yourself himself herself itself ourselves themselves
    someone somebody something anyone anybody anything everyone everybody everything nobody nothing none others
    mine yours hers his her ours theirs there that this these those which what
    """
)

PREPOSITIONS = word_set(
    """
    in on at of with by for from to into onto upon over under above below beneath underneath behind beside
    besides between among amongst amidst amid through throughout across along alongside around round near
    against toward towards during before after until till since without within about off out up down past via
    per like unlike despite except inside outside atop aboard beyond next as than versus while whilst apart away
    together forward forwards backward backwards back ahead aside upwards downwards upward downward downhill
    uphill including
    """
)
CONJUNCTIONS = word_set(
    """
    and or but nor so yet if because although though whether when where why how plus whereas once
    """
)
AUXILIARIES = word_set(
    """
    is are was were be been being am has have had having do does did done can could will would shall should may
    might must isn't aren't doesn't don't didn't can't won't it's he's she's they're
    """
)
_ADVERBS = word_set(
    """
    not very too also just only even still again almost always never often already quite rather really perhaps
    maybe somewhat here now then soon together alone apart else ever once twice well fast indoors nearby
    overhead upside sideways barefoot barefooted shirtless asleep awake alike aloud abroad afar elsewhere
    everywhere somewhere anywhere far further instead meanwhile mid-air later seemingly likely same-time hard
    straight aside overseas currently forth hand-in-hand
    """
)
_LY_NOT_ADVERBS = word_set(
    """
    family fly belly jelly butterfly assembly elderly curly friendly lovely early silly hilly ugly bully lonely
    trolley lively daily only woolly wooly bubbly wobbly italy july supply reply ally lily holly jolly chilly
    smelly wiggly squiggly grizzly barely-clad scraggly burly surly rally doily bodily gnarly cuddly wrinkly
    """
)

COLOURS = word_set(
    """
    black white red blue green yellow orange purple pink brown gray grey tan beige gold golden silver maroon
    navy teal turquoise khaki cream violet magenta burgundy lavender blond blonde brunette neon pastel
    camouflage camo plaid denim
    """
)
_ADJECTIVES = COLOURS | word_set(
    """
    young old older younger elderly middle-aged aged little small big large huge tiny tall short long giant
    great good bad new high low deep shallow wide narrow thick thin heavy light dark bright pale dim clear
    cloudy sunny snowy rainy windy foggy misty dusty sandy rocky grassy muddy wet dry dirty clean messy busy
    empty full open close closed hot cold warm cool fresh hard soft rough smooth sharp flat round square steep
    strong weak quick slow fast quiet loud happy sad angry sleepy tired hungry serious funny silly pretty
    beautiful handsome cute lovely nice fancy plain simple male female adult asian african american chinese
    japanese indian oriental caucasian hispanic mexican european british french german african-american wooden
    metal metallic plastic stone concrete brick woolen leather own same different similar various several other
    opposite single double triple whole entire main local public private modern ancient old-fashioned outdoor
    indoor urban rural human live dead alive bald hairy furry shaggy curly bare naked nude topless shiny fluffy
    fuzzy striped checkered left right upper lower front rear top bottom first second third last next ready able
    available asleep aware afraid alone crazy wild tame rich poor fat skinny slim chubby heavyset muscular
    pregnant blind deaf gay straight steady safe real fake real-life colorful colourful red-headed dark-haired
    early late nearby mixed orange-clad sole barefoot shirtless airborne scary delicious tasty spooky lime goofy
    hilly icy residential professional electric electrical acoustic religious traditional medical military
    competitive casual formal
    """
)

# Adjectives that are as much at home as nouns: "a female in a hat", "a tank top".
NOUN_ADJECTIVES = word_set(
    """
    male female adult human orange blond blonde brunette public concrete top bottom plaid denim gold metal stone
    brick leather plastic individual professional dark light cold native american
    """
)

VERBS = word_set(
    """
    accept act add address adjust admire aim allow appear applaud apply approach argue arrange arrive ask
    assemble assist attach attack attempt attend bake balance bark bask bat bathe battle be beat become beg
    begin bend bike bite blow board boat bounce bow bowl box brace break breathe bring browse brush build bump
    burn bury buy call camp care carry carve cast catch celebrate change chase chat check cheer chew chop circle
    clap clasp clean clear climb cling close coach collect collide comb come comfort compete complete
    concentrate conduct congregate connect consider construct consume contemplate continue converse cook cool
    copy cover crawl create cross crouch crowd cruise cry cuddle cut cycle dance dangle dash decide decorate
    deliver demonstrate depict descend describe design dig dine direct discuss dislay display dive do drag draw
    dress dribble drill drink drip drive drop dry dunk eat embrace emerge encourage engage enjoy enter entertain
    escape examine exchange exercise exit experience explain explore express extend face fall feed feel fetch
    fight fill film find finish fish fix flip float fly focus fold follow forage force frolic gallop gather gaze
    gesture get give glance glide go grab greet grill grimace grin grind grip groom grow guard guide hail hammer
    handle hang harvest have head hear help herd hide hike hit hold hop hover hug hunt hurdle hurry ice ignore
    inspect install instruct interact interview involve iron jog join juggle jump keep kick kiss kneel knit know
    lack lap laugh launch lay lead lean leap learn leave lecture let lick lie lift light line listen load loiter
    look lounge lunge maintain make maneuver manipulate march mark meditate meet mend milk mix model mop mount
    mourn move mow navigate need observe offer open operate oversee overlook paddle pack paint parade park
    participate pass pat patrol pause pave pay pedal peek peel peer perch perform pet pick pierce pile pitch
    place plant play plow point pole poke polish ponder pop portray pose pour practice pray preach prepare
    present press pretend proceed process produce promote propel protest provide pull pump punch purchase push
    put race raft raise rake reach read receive recite recline record reel rehearse relax remove repair resemble
    rest return reveal ride rise roast roll row rub run rush sail salute saw say scale scan score scrape scream
    scrub sculpt search seat see seem sell send serve set sew shake share sharpen shave shear shine shop shoot
    shout shovel show sift sign sing sip sit skate skateboard ski skip sled sleep slice slide sling smell smile
    smoke snack sniff snorkel snowboard soak soar socialize spar speak speed spin splash spray spread sprint
    squat squint stack stand stare start stay steal steer step stick stir stomp stop straddle stretch stroll
    struggle study style submerge suck support surf surround suspend swat sweep swim swing tackle take talk tap
    taste teach tear tell tend test throw tie till toss touch tour tow train transport travel tread trim trot
    trudge try tug tumble turn twirl twist type unload use vacuum view visit wade wag wait wake walk want warm
    wash watch water wave wear weave weigh weld welcome whisper wield wipe wonder work worship wrap wrestle
    write yell crumble converge
    """
)
IRREGULAR_PAST = word_set(
    """
    ate beat began bent bit blew bought bound broke broken brought built burnt came caught chosen clad clung cut
    dove drank drawn drew driven drove drunk eaten fallen fed fell felt flew flown fought found gave given gone
    got gotten grew grown held hidden hit hung kept knelt laid lain led left lit lost made met paid put ran read
    ridden rode run said sang sat saw seen sent set shaken shot shown shut slept slid sold spent split spoke
    spoken spread spun stolen stood strewn struck stuck sung swam swept swung taken taught thrown threw told
    took torn underway went withdrawn woken won wore worn woven wrote written
    """
)
_NOT_ED_FORMS = word_set(
    """
    red bed shed sled speed seed weed need feed naked wicked rugged breed reed steed kid bobsled moped
    """
)
ING_NOUNS = word_set(
    """
    building buildings clothing wedding railing railings ceiling string strings ring rings king thing things
    wing wings spring evening morning lighting crossing parking painting paintings carving carvings offering
    gathering gatherings meeting meetings opening lightning pudding icing frosting flooring siding bedding
    stuffing dressing earring earrings sling swing ping beijing sibling siblings marking markings drawing
    drawings writing writings sewing recording surrounding surroundings clearing landing setting crossings
    belongings awning awnings scaffolding housing outing shavings covering coverings tubing wiring plumbing
    greeting greetings seating viking dumpling dumplings darling duckling anything something everything nothing
    during decking rigging piping bowling boxing wrestling lacing
    """
)
# -ing words that mean "who does this to what follows": after a number or "another" they are no modifiers.
TRANSITIVE_ING = word_set(
    """
    wearing holding playing carrying riding using making doing having taking looking watching pushing pulling
    throwing reading eating drinking giving getting putting facing pointing
    """
)

# What an -ing word may stand before without being a verb: "a shopping cart".
ING_HEADS = word_set(
    """
    pool pools suit suits trunks shoes shorts board boards wall gear lot lots cart carts bag bags mall center
    pole poles boat boats rod equipment machine machines rink area areas room court club competition table
    tables chair chairs bike band bands hat hats cap caps goggles contest lane class ring rings event trail
    outfit clothes booth truck van site crew field range track stick line net match game team store street stone
    stones tower
    """
)

COLLECTIVES = word_set(
    """
    group groups pair pairs couple couples bunch bunches crowd crowds team teams number lot lots variety set
    sets row rows line lines pile piles stack stacks piece pieces bit herd herds flock flocks pack packs kind
    type sort bowl bowls cup cups glass glasses bottle bottles plate plates bag bags box boxes basket baskets
    bucket slice slices sheet handful cluster collection assortment array series bouquet body bodies class band
    gang swarm majority dozens hundreds thousands many some several all most each one two three four both few
    none half part
    """
)
PLURALS = word_set(
    """
    people men women children kids police cattle sheep feet teeth fish deer folks others boys girls guys adults
    dogs clothes couple group crowd family team audience band crew class pair trio firemen policemen workmen
    businessmen fishermen gentlemen sportsmen servicemen snowmen horsemen salesmen firefighters
    """
)
_SINGULAR_S = word_set(
    """
    bus gas glass grass dress class cross tennis canvas cactus circus campus lens atlas chess mattress fitness
    business princess waitress actress hostess harness address asparagus walrus octopus hippopotamus hibiscus
    chaos mess boss toss pass brass moss press sports news stairs jeans scissors physics gymnastics athletics
    christmas lacrosse this his its
    """
)
_ADJECTIVE_ENDINGS = ("ful", "ous", "ish", "less", "able", "ible", "-colored", "-sized", "-haired", "ese", "ical")
_NOT_ADJECTIVES = word_set(
    """
    table vegetable cable fish dish stable radish british-isles starfish goldfish crayfish jellyfish handful
    """
)

_IRREGULAR_NOUNS = {
    "calves": "calf", "children": "child", "feet": "foot", "geese": "goose", "halves": "half", "knives": "knife",
    "leaves": "leaf", "lives": "life", "loaves": "loaf", "mice": "mouse", "people": "person", "scarves": "scarf",
    "shelves": "shelf", "teeth": "tooth", "wives": "wife", "wolves": "wolf",
}  # fmt: skip
_NO_PLURAL_S = ("ss", "us", "is")
_SILENT_E = re.compile(r"(?<=ch|sh)e$|(?<=[sxzo])e$")


def _s_form(verb: str) -> str:
    if verb.endswith(("s", "x", "z", "ch", "sh", "o")):
        return verb + "es"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + "s"


S_FORMS = frozenset(map(_s_form, VERBS))


def is_past_form(word: str) -> bool:
    """Whether a word is a past form of a verb, from the list or by its ending."""
    return word in IRREGULAR_PAST or (word.endswith("ed") and len(word) > 3 and word not in _NOT_ED_FORMS)


def is_pronominal(word: str) -> bool:
    """Whether a determiner may stand without a noun, as in "two are playing"."""
    return word in _PRONOMINAL_DETERMINERS or is_numeral(word)


def is_numeral(word: str) -> bool:
    """Whether a word is a number, in digits or as a word."""
    return word in _NUMERALS or word[0].isdigit()


def is_adverb(word: str) -> bool:
    """Whether a word is an adverb, from the list or by its ending."""
    return word in _ADVERBS or (word.endswith("ly") and len(word) > 4 and word not in _LY_NOT_ADVERBS)


def is_adjective(word: str) -> bool:
    """Whether a word is an adjective, from the list or by its ending."""
    return word in _ADJECTIVES or (word.endswith(_ADJECTIVE_ENDINGS) and len(word) > 4 and word not in _NOT_ADJECTIVES)


def is_plural(noun: str) -> bool:
    """Whether a noun stands for several things, or for a group that takes a plural verb."""
    if noun in PLURALS or noun in _SINGULAR_S:
        return noun in PLURALS
    return noun.endswith("s") and not noun.endswith((*_NO_PLURAL_S, "'s", "’s"))


def noun_key(word: str) -> str:
    """A key that is equal for the singular, the plural and the possessive of a lower-cased English noun.

    A key is only for comparison. It is not always a word: since a plural in “-es” may come from a singular with or
    without “e”, the key has no “e” (“horse” and “horses” give “hors”), and “-ie” becomes “-y”.

    Examples:
        >>> [noun_key(word) for word in ("dogs", "women", "babies", "cookie", "glasses", "horse", "man's", "bus")]
        ['dog', 'woman', 'baby', 'cooky', 'glass', 'hors', 'man', 'bus']
    """
    word = word.replace("’", "'").removesuffix("'s")
    word = _IRREGULAR_NOUNS.get(word, word)
    if word.endswith("men"):
        return word[:-2] + "an"
    if len(word) > 3 and word.endswith("s") and not word.endswith(_NO_PLURAL_S):
        word = word[:-1]
    if len(word) > 3 and word.endswith("ie"):
        return word[:-2] + "y"
    return _SILENT_E.sub("", word)
