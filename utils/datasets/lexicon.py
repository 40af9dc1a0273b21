"""The content words of `grammar.py` by category; odd and even places form the two halves of a lexicon split.

No word stands in two categories, and every verb is in the past tense, so that agreement plays no part.
"""

WORDS = {
    "person": """teacher doctor farmer pilot singer lawyer painter soldier baker sailor dancer driver
        writer nurse student hunter actor waiter captain tailor butcher banker poet guard""",
    "thing": """letter book key lamp coat basket picture bottle map hammer violin candle
        ticket blanket ladder mirror coin ring rope drum box knife clock flag""",
    "place": """garden kitchen library harbour market station church tower office cellar school forest
        village museum castle barn temple theatre hotel factory stable palace bank park""",
    "of_person": """young tall quiet clever tired famous gentle proud lonely rich careful nervous
        cheerful poor polite angry""",
    "of_thing": """old strange small large brown heavy pretty dirty elegant plain odd green
        narrow broken new empty""",
    "adverb": """quietly yesterday often suddenly badly early happily outdoors alone slowly late again""",
    "intransitive": """slept laughed waited arrived sneezed danced smiled worked rested sang shouted cried
        stood knelt lived fainted""",
    "to_person": """helped watched followed admired visited called thanked blamed met warned hired ignored
        trusted greeted feared praised""",
    "to_thing": """liked wanted remembered noticed owned described loved needed disliked recognised forgot mentioned""",
    "give": """gave sent showed offered handed sold lent promised""",
    "put": """put placed hid left dropped laid threw pushed""",
    "say": """said believed knew thought claimed hoped heard saw""",
}
