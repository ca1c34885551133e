"""Nouns that stand for persons, for what persons wear and have, and names of things without a shape.

General knowledge of English, for users without any lexical file. Every set holds keys of `negatives.inflection`, so
that “hats” is found under “hat”.
"""

from __future__ import annotations

from unboxed.negatives.inflection import noun_key

__all__ = ["GROUPS", "HEAD", "LEGS", "PERSONS", "STUFF", "TORSO", "WHOLE"]


def _keys(text: str) -> frozenset[str]:
    return frozenset(noun_key(word) for word in text.split())


PERSONS = _keys(
    """
    person man woman boy girl child kid baby toddler infant teenager teen adult youth guy lady gentleman female male
    human individual somebody someone he she him himself herself they them player worker performer dancer singer
    musician guitarist drummer runner cyclist biker bicyclist rider skater skateboarder skier snowboarder surfer
    swimmer climber hiker athlete swordsman fisherman policeman officer soldier fireman firefighter chef cook waiter
    vendor bride groom mother father mom dad son daughter brother sister friend student teacher tourist pedestrian
    spectator bystander onlooker passenger driver clown artist painter photographer wrestler boxer batter pitcher
    goalie referee coach cheerleader businessman construction-worker motorcyclist skateboarder snowboarder folk
    """
)
GROUPS = _keys("group crowd team couple band audience crew family troupe squad trio duo gang army gathering")

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
WHOLE = _keys("dress uniform suit outfit robe gown costume clothing clothes attire garb gear coat overalls jumpsuit")

STUFF = _keys(
    """
    wall building sky floor tree ceiling road windowpane grass sidewalk earth door mountain curtain water shelf house
    sea field sand snow path pavement ground river lake street rock hill beach forest woods fence bush leaves
    cloud sunlight dirt gravel mud platform stairs roof cabinet plant mirror rug painting
    """
)
