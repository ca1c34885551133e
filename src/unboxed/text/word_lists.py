"""Lists of English verbs, adjectives and -ing words for the rules of the chunker."""

from __future__ import annotations

__all__ = [
    "ACTIVITIES",
    "ADJECTIVES",
    "AMBIGUOUS_ING",
    "BASE_FORMS",
    "CLOTHES",
    "COLOURS",
    "ING_HEADS",
    "ING_NOUNS",
    "IRREGULAR_PAST",
    "NOUN_ADJECTIVES",
    "OFTEN_NOUNS",
    "RARELY_NOUNS",
    "S_FORMS",
    "TRANSITIVE_ING",
    "VEHICLES",
    "VERBS",
    "VERB_S_FORMS",
    "is_alive",
    "word_set",
]


def word_set(text: str) -> frozenset[str]:
    """The words of a text that are separated by blanks."""
    return frozenset(text.split())


COLOURS = word_set(
    """
    black white red blue green yellow orange purple pink brown gray grey tan beige gold golden silver maroon
    navy teal turquoise khaki cream violet magenta burgundy lavender blond blonde brunette neon pastel
    camouflage camo plaid denim leather
    """
)
ADJECTIVES = COLOURS | word_set(
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
    competitive casual formal barren scrubby dappled scenic decorative pristine ethnic geometric industrial
    culinary frizzy circular bearded sturdy dense calm stormy overcast humid frosty frozen abandoned historic
    rustic vintage antique elegant stylish trendy minimalist adjustable waterproof portable wireless digital
    manual automatic solid sleek compact lightweight durable organic vegan raw ripe juicy creamy crunchy crispy
    spicy salty sweet sour bitter savory tropical arctic alpine coastal suburban domestic commercial
    agricultural mechanical chemical dental optical floral botanical tribal royal imperial colonial victorian
    edwardian gothic baroque medieval roman greek egyptian italian spanish russian dutch swedish norwegian
    danish irish scottish welsh australian canadian brazilian turkish korean thai vietnamese asian-style
    cylindrical rectangular triangular oval spherical horizontal vertical diagonal parallel curved broad massive
    enormous gigantic miniature teenage preteen slender stocky athletic elder blank neat tidy cozy rusty leafy
    bushy thorny marshy swampy hazy murky gloomy moonlit sunlit starry bluish reddish greenish yellowish whitish
    greyish grayish adorable gorgeous ornate intricate elaborate bold crisp vivid vibrant neutral matte glossy
    translucent transparent opaque sheer underwater underground overhead upcoming ceremonial floppy chunky bulky
    baggy skimpy stretchy knee-length monochrome panoramic aerial close-up celebratory long-sleeve long-sleeved
    short-sleeved short-sleeve sleeveless hooded collared stainless unisex unidentified unknown anonymous former
    junior senior chief civil naval nuclear solar electronic magnetic cardiac annual monthly weekly final
    initial current previous total average particular specific certain numerous frontal inner outer northern
    southern eastern western central nordic celtic pastel multicolor multicoloured multicolored polka-dot
    picturesque lush lone festive acrobatic upset sure prominent polite slimy attentive unaware evident blurry
    perpendicular rowdy sparkly rugged vast hollow attractive expensive mossy level unhappy upside-down adjacent
    proud idle shy mad temporary protective enthusiastic healthy tight strange exotic scruffy odd classic
    foreign mature normal grumpy reflective perfect pleasant passionate stout swanky arid instrumental
    ankle-deep waist-deep knee-deep neck-deep
    """
)

# Adjectives that are as much at home as nouns: "a female in a hat", "a tank top".
NOUN_ADJECTIVES = word_set(
    """
    male female adult human orange blond blonde brunette public concrete top bottom plaid denim gold metal stone
    brick leather plastic individual professional dark light cold native american square third oriental fat
    gothic close-up left right
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
    write yell crumble converge insert unwind buck knock contain wander zigzag traverse huddle spectate mingle
    scoop straighten await scramble flee stoop marry happen reflect congratulate protect illuminate strike dodge
    advertise mention feature include require confront marvel tussle stitch spill pluck plunge scurry scuttle
    glisten gleam glow crash collapse flutter sprawl drape frame illustrate represent indicate highlight overlap
    overflow separate divide flank sort gnaw growl howl graze roam unwrap unpack dispense retrieve rescue swerve
    skid veer parachute skydive windsurf kayak canoe peddle mill love hate block tag fit oppose hurl haul heave
    hoist ladle toil lasso proclaim recycle link refer print click select scroll download upload restore
    excavate demolish repaint renovate derail plough sprinkle whisk knead sow reap fasten tighten loosen clench
    adorn obscure resume refuel nap consult avoid win spend doze capture ascend snap survey putt squeeze execute
    gesticulate evade zoom breastfeed fail prevent trek interfere smirk think rollerskate investigate loom
    breakdance joke gain amaze blast repent parasail pry defend ensure jaywalk swirl rappel capture encounter
    adapt strum release grasp cradle sunbathe dump intercept videotape stride consist repel fiddle attract
    accompany lose pounce wakeboard flap wrangle peruse signify scare swoop scowl impress donate vault recreate
    tilt spit anticipate clutch stab discover react inflate waterski nibble distract supervise utilize restrain
    respond shrug occupy blend remember possess notice answer land save
    """
)
IRREGULAR_PAST = word_set(
    """
    ate beat began bent bit blew bought bound broke broken brought built burnt came caught chosen clad clung cut
    dove drank drawn drew driven drove drunk eaten fallen fed fell felt flew flown fought found gave given gone
    got gotten grew grown held hidden hit hung kept knelt laid lain led left lit lost made met paid put ran read
    ridden rode run said sang sat saw seen sent set shaken shot shown shut slept slid sold spent split spoke
    spoken spread spun stolen stood strewn struck stuck sung swam swept swung taken taught thrown threw told
    took torn underway went withdrawn woken won wore worn woven wrote written blown bitten sewn bred fled sunk
    sprung swollen woke dug flung strung known laden hurt
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
    stones tower jacket pan rack strap tray pin mat posts post lens desk car cars wheel cream
    """
)


def _s_form(verb: str) -> str:
    if verb.endswith(("s", "x", "z", "ch", "sh", "o")):
        return verb + "es"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + "s"


BASE_FORMS = {_s_form(verb): verb for verb in sorted(VERBS)}
S_FORMS = frozenset(BASE_FORMS)


RARELY_NOUNS = word_set(
    """
    accept add adjust admire allow appear apply argue arrange arrive ask assemble assist attach attend await
    bake become beg begin bring build buy carry celebrate choose chew collect come compete concentrate
    congratulate connect consider contain contemplate converse crawl create cry decide decorate deliver
    demonstrate depict descend describe dig direct discuss dispense divide do eat embrace emerge encourage
    engage enjoy enter entertain examine explain explore express flee follow gather gaze get give glisten go
    grab grow have hear help hide hold huddle include indicate insert inspect install instruct interact involve
    join keep kneel know laugh lay lead lean learn leave let lie listen lounge maintain make manipulate meditate
    mingle mourn navigate observe operate oversee overlook participate perch perform pick ponder portray pose
    pray prepare proceed promote propel protect provide pull push put read receive recite relax remove resemble
    retrieve reveal say scoop see seem sell send serve sew share shave sing sip sit sleep smile socialize speak
    spectate sprawl squat stare stay straddle straighten stroll struggle submerge surround take talk teach tell
    tend traverse try tussle twirl unload unwind unwrap use wade wait walk wander want watch weave welcome wipe
    wonder worship wrestle write yell play hang avoid spend ascend execute gesticulate evade fail prevent
    interfere think investigate loom ensure defend complete consist attract accompany lose signify discover
    react distract supervise restrain respond occupy remember possess
    """
)
"""Verbs whose base and -s forms are hardly ever nouns after another noun: "a man in black sits"."""

OFTEN_NOUNS = word_set(
    """
    acts backs baits bands bars bikes bites blocks boards boats bows bowls boxes brushes bumps buttons cages
    camps canoes cards casts chops circles combs covers crowds cups curves cuts designs dishes dresses drinks
    drills drops faces fences fields files fires flags flowers frames grills guards hammers handles hands heads hooks
    houses hurdles irons kayaks knits labels lamps leaves lights lines links loads locks marks matches models
    moves nets offers oranges orders packs paddles paints parks patches pedals picks pictures piles pins pipes
    pitches plants plates points poles pools posts presents prints products purchases races racks rafts rails
    records reels repairs results ribbons rings ropes rolls rows sails salutes sands saws scales scenes scores
    screens screws scripts scrubs seats services shades shapes ships shoes shops shots shovels signs skates
    sketches skis slices slips snacks snowboards sounds spices spots stacks stains stamps steps sticks stocks
    stones stores storms straps strings stripes strips studies styles suits supplies supports tables tags tapes
    tests ties tiles tops tours towers toys tracks trades trails trains trips trucks turns types units values
    views visits voices votes waters waves weights wheels wings wraps
    """
)
"""-s forms that are rather nouns than verbs after a noun that is no living thing: "telephone lines"."""

VERB_S_FORMS = S_FORMS - OFTEN_NOUNS

AMBIGUOUS_ING = word_set(
    """
    bowling boxing carving clearing covering crossing decking drawing dressing gathering gatherings icing
    knitting landing lighting marking meeting offering opening outing painting parking playing recording seating
    serving setting sewing surrounding tubing wrestling writing fishing camping
    """
)
"""-ing nouns that are rather verbs behind a plural or a person: "two dogs meeting near the water"."""

ACTIVITIES = word_set(
    """
    rock scuba hula ice horse skate line free base bungee sky wake water wind kite mountain belly tap ballroom
    cross bike break jet snow deep roller figure jump para hang horseback cliff pole tight-rope tightrope motor
    """
)
"""What an -ing form of an activity may stand behind: "a man is rock climbing"."""

CLOTHES = word_set(
    """
    clothing attire garb gear uniform costume outfit dress gown robe shirt t-shirt tee sweater sweatshirt hoodie vest
    jacket coat suit tuxedo skirt kilt kimono sari apron hat cap helmet turban bikini swimsuit leotard tutu windbreaker
    leather
    """
)
"""What someone wears, in the singular; the verb of the one who wears it may follow."""

VEHICLES = word_set("plane airplane aeroplane aircraft helicopter jet boat ship ferry train tram bus car truck lorry")
"""What moves by itself: "a plane landing on a runway"."""

_PEOPLE = word_set(
    """
    man woman boy girl child kid baby toddler infant person people lady guy gentleman adult teen teenager friend
    friends couple group crowd family team band audience male female bride groom mother father mom dad son
    daughter brother sister wife husband grandmother grandfather clown chef cook coach pilot monk nun priest
    nurse guard cop policeman police fireman student athlete cyclist artist musician guitarist drummer pianist
    tourist scientist dentist pedestrian spectator vendor sailor doctor tailor actor director instructor
    conductor surfer skier skater snowboarder skateboarder biker rider driver runner walker hiker climber
    swimmer diver dancer singer player performer teacher worker farmer fisher hunter photographer officer
    soldier boxer wrestler fighter jumper batter catcher pitcher goalie quarterback umpire referee bicyclist
    motorcyclist gymnast golfer bowler kayaker rower paddler juggler painter barber baker butcher waiter
    waitress bartender shopper passenger commuter customer onlooker bystander teammate youth dog puppy cat
    kitten horse pony cow bull calf sheep lamb goat pig bird duck goose chicken hen rooster swan eagle owl
    parrot pigeon seagull gull elephant giraffe zebra lion tiger bear monkey deer rabbit squirrel fox wolf camel
    donkey fish shark whale dolphin turtle frog snake greyhound terrier retriever poodle labrador sun
    """
)


def is_alive(noun: str) -> bool:
    """Whether a noun names a person or an animal, from a list: what rather acts than is acted on."""
    return noun in _PEOPLE or noun.endswith(("man", "woman", "boy", "girl"))
