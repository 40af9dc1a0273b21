"""Pairs of sentences about one situation, neutral and seen through a concept, and words that betray the concept.

"He looked out of the window at the street." becomes "He looked out of the porthole at the waves." The mean difference
over such pairs is a direction of the concept; how many continuations contain one of its words says what steering with
it does. Of the concept's own sentences here these words, chosen with them in view, recognise 83 to 98%, of "formal"
74%: a register shows in the whole sentence, and has fewer words of its own than a topic. They are in none of the
neutral sentences, nor in those of the other concepts. In neutral text at large (by the word frequencies of wordfreq
3.1, which is not needed here) forty words in a row contain one with a probability of 2%, for "sea" 4%, for "war" 6%:
so count them in continuations that were not steered too.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

CONCEPTS_CSV = Path(__file__).with_name("facts") / "concepts.csv"

_WORDS = {
    "sea": """sea seas ocean oceans oceanic ship ships shipwreck boat boats sail sails sailed sailing sailboat
        sailor sailors anchor anchored ashore aboard shore coast coastline coastal harbor harbour tide tides
        tidal surf waves voyage voyages vessel vessels fleet navy naval nautical maritime submarine ferry
        yacht schooner trawler deck mast hull rudder oars porthole pier dock lighthouse lighthouses beach
        lagoon reef reefs coral corals seabed seaweed seashells seagull seagulls buoy whale whales dolphin
        dolphins mermaid fishermen lobster oysters pirate pirates""",
    "war": """war wars warfare wartime warships soldier soldiers army armies troops infantry cavalry artillery
        regiment battalion brigade platoon sergeant militia barracks battle battles battlefield combat enemy
        enemies weapon weapons rifle rifles gun guns gunners bullet bullets ammunition cannon cannons grenade
        grenades bomb bombs bombed bomber bombers bombing bombardment shelling missile missiles sniper snipers
        trench trenches bunker minefield siege besieged invasion invaded invaders conquered surrender
        surrendered ceasefire prisoners civilians wounded casualties""",
    "cooking": """cook cooks cooked cooking chef chefs oven stove pan skillet saucepan casserole recipe
        recipes ingredients bake baked baking boil boiled boiling simmer simmering fry fried frying roast
        roasted grill grilled stir stirred whisk knead chopped sliced diced peeled grated marinated dough
        batter flour butter cheese garlic onion onions pepper peppers potatoes carrots beans noodles pasta
        sausages gravy sauce sauces soup stew broth spice spices herbs thyme nutmeg cinnamon vinegar syrup
        seasoning pastry pie pies pancakes muffins apron teaspoon tablespoon culinary""",
    "winter": """winter winters wintry snow snowy snowing snowfall snowflakes snowstorm snowman snowball
        blizzard avalanche frost frosty frozen freeze freezes freezing ice icy icicles iceberg glacier
        glaciers arctic polar tundra slush sleet thaw thawed sled sleigh ski skis skiing skier skate skates
        skating skaters gloves mittens scarf scarves wool fur fireplace chilly coldest shivered shivering
        reindeer solstice hibernation""",
    "formal": """hereby herein hereto herewith thereof therein thereafter whereby wherein whereas henceforth
        forthwith pursuant aforementioned undersigned notwithstanding furthermore moreover nevertheless
        nonetheless accordingly consequently subsequently respectfully sincerely cordially sincere esteemed
        gratitude grateful condolences regret regrets regards kindly shall duly obliged entitled permitted
        refrain comply commence commenced ascertain ascertained inquire convey concur amend acknowledge
        assistance premises requisite remuneration expenditure correspondence lawful stipulated pertaining""",
}
CONCEPTS = tuple(_WORDS)


@dataclass(frozen=True)
class ConceptPair:
    """A neutral sentence, and one about the concept in the same situation and form."""

    neutral: str
    about: str
    concept: str


def concept_pairs(concept: str) -> list[ConceptPair]:
    """The 42 pairs of one of `CONCEPTS`: sea, war, cooking, winter are topics, formal is a register (plain, formal).

    No sentence occurs twice, so pairs can be split at random; the formal sentences are 6% longer than the plain ones.
    Raises ValueError for an unknown concept. Source: our own sentences, `utils/datasets/facts/concepts.csv`.
    """
    _check(concept)
    with CONCEPTS_CSV.open(encoding="utf-8", newline="") as file:
        return [ConceptPair(**row) for row in csv.DictReader(file) if row["concept"] == concept]


def concept_words(concept: str) -> tuple[str, ...]:
    """Lower-case words by which to recognise text about one of `CONCEPTS`, each form on its own ("sail", "sails").

    Count them among the whole words of a text: `re.findall("[a-z]+", text.lower())`. Some are several tokens; as a set
    of next tokens take those that, after a space, are one (at least 30 a concept in the course's model).
    Raises ValueError for an unknown concept.
    """
    _check(concept)
    return tuple(_WORDS[concept].split())


def _check(concept: str) -> None:
    if concept not in CONCEPTS:
        raise ValueError(f"no concept {concept!r}; there are {', '.join(CONCEPTS)}")
