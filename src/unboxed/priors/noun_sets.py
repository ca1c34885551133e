"""Sets of English nouns: persons, what persons wear and are made of, and things without a shape.

The prior needs no lexical file for these. The sets hold keys of `unboxed.text.lexicon.noun_key`, so that “hats” is
found under “hat”.
"""

from __future__ import annotations

from unboxed.text.lexicon import noun_key

__all__ = [
    "ARMS",
    "BODY",
    "CLOTHING",
    "FACE",
    "FEET",
    "GROUPS",
    "HAND",
    "HEAD",
    "LEGS",
    "OUTFITS",
    "PERSONS",
    "STUFF",
    "TORSO",
]


def _keys(text: str) -> frozenset[str]:
    return frozenset(noun_key(word) for word in text.split())


PERSONS = _keys(
    """
    person human individual people folk someone somebody everyone everybody anyone nobody he she him himself herself
    they them themselves we us
    man woman male female guy lady gentleman gentlewoman gal chap bloke fellow dude buddy boy girl child kid baby
    toddler tot infant newborn preschooler youngster preteen teenager teen youth adult senior elder blonde brunette
    redhead
    mother father mom dad mum mommy daddy parent son daughter brother sister sibling twin grandmother grandfather
    grandma grandpa granny grandparent grandchild grandson granddaughter aunt uncle cousin nephew niece husband wife
    spouse
    boyfriend girlfriend fiance fiancee bride groom bridesmaid groomsman newlywed
    friend companion partner mate neighbor neighbour stranger owner passerby pedestrian bystander onlooker spectator
    viewer visitor guest host hostess customer shopper diner tourist traveler traveller passenger commuter hitchhiker
    resident local native villager citizen immigrant refugee homeless beggar
    worker employee boss manager executive businessman businesswoman secretary receptionist assistant volunteer
    construction-worker builder bricklayer carpenter plumber electrician mechanic welder roofer engineer architect
    laborer labourer janitor cleaner maid butler gardener farmer rancher cowboy cowgirl hunter fisher fisherman
    fisherwoman miner lumberjack craftsman artisan potter tailor barber hairdresser stylist baker butcher chef cook
    waiter waitress bartender barista cashier clerk vendor seller salesman saleswoman merchant shopkeeper
    doctor nurse surgeon dentist paramedic medic patient scientist researcher technician teacher professor principal
    tutor instructor coach trainer student pupil schoolboy schoolgirl schoolchild classmate graduate lawyer judge
    politician president mayor king queen prince princess
    officer policeman policewoman cop sheriff trooper detective guard bodyguard lifeguard soldier sergeant marine sailor
    captain veteran warrior knight samurai swordsman fireman firewoman firefighter prisoner thief robber pirate
    pilot astronaut driver chauffeur trucker crewman operator
    monk nun priest pastor bishop pope rabbi preacher pilgrim
    artist painter sculptor photographer cameraman videographer journalist reporter writer author poet reader actor
    actress comedian entertainer performer magician juggler acrobat clown mime puppeteer dancer ballerina breakdancer
    cheerleader musician guitarist bassist drummer pianist violinist cellist trumpeter saxophonist flutist singer
    vocalist rapper dj composer busker bagpiper
    player athlete competitor contestant participant opponent rival teammate winner champion runner sprinter jogger
    walker hiker backpacker camper climber mountaineer trekker explorer adventurer jumper gymnast hurdler vaulter
    swimmer diver snorkeler surfer surfboarder bodyboarder boarder wakeboarder waterskier windsurfer kitesurfer
    parasailer paraglider skydiver kayaker canoer canoeist paddler rower rafter boater
    skater skateboarder longboarder rollerblader rollerskater skier skiier snowboarder sledder tobogganer snowmobiler
    racer rider biker cyclist bicyclist bicycler unicyclist motorcyclist motorcycler motorist equestrian jockey
    horseman horsewoman bullfighter matador
    footballer quarterback linebacker receiver defender midfielder striker goalie goalkeeper goaltender batter batsman
    pitcher catcher baseman infielder outfielder shortstop bowler cricketer golfer boxer kickboxer wrestler fighter
    fencer archer weightlifter bodybuilder referee umpire linesman
    supporter fan protester demonstrator marcher activist member leader santa hippie punk
    """
)
GROUPS = _keys(
    """
    group crowd team couple pair band audience crew family troupe squad trio duo quartet gang army gathering class choir
    orchestra mob throng congregation
    """
)

HEAD = _keys(
    """
    head face hair hat cap helmet glasses goggles sunglasses eyeglasses beard mustache moustache goatee eye mouth nose
    lip tongue cheek ear mask headband bandana bandanna hood beanie wig bonnet headphones visor neck scarf necklace
    cigarette headscarf turban headdress bun ponytail hairstyle dreadlocks hardhat headgear earring crown ballcap
    """
)
TORSO = _keys(
    """
    shirt t-shirt tshirt jacket vest sweater top sweatshirt blouse hoodie jersey tie chest back arm shoulder apron tee
    backpack stomach belly tuxedo
    """
)
LEGS = _keys(
    """
    pants jeans shorts trousers skirt leg shoe boot sock sandal foot sneaker leggings khakis trunks tights slacks knee
    flip-flops kilt
    """
)
FACE = _keys("face eye mouth nose lip tongue cheek beard mustache moustache goatee glasses sunglasses eyeglasses")
ARMS = _keys("arm sleeve elbow")
HAND = _keys("hand finger fist thumb palm glove wrist mitten")
FEET = _keys("foot shoe boot sock sandal sneaker toe heel flip-flops skate cleat slipper")
BODY = _keys(
    """
    head face hair beard mustache moustache goatee eye mouth nose lip tongue cheek ear neck bun ponytail hairstyle
    dreadlocks chest back arm shoulder stomach belly leg foot knee elbow sleeve hand finger fist thumb palm wrist toe
    heel
    """
)
"""Parts of the body among the nouns of its places; the others are worn there."""
OUTFITS = _keys("dress uniform suit outfit robe gown costume clothing clothes attire garb gear coat overalls jumpsuit")
CLOTHING = HEAD | TORSO | LEGS | OUTFITS
"""What persons wear, and parts of the body."""

STUFF = _keys(
    """
    wall building sky floor tree ceiling road windowpane grass sidewalk earth door mountain curtain water shelf house
    sea field sand snow path pavement ground river lake street rock hill beach forest woods fence bush leaves
    cloud sunlight dirt gravel mud platform stairs roof cabinet plant mirror rug painting
    """
)
