"""Names of classes that a pipeline which draws from text may draw in either of two meanings."""

from __future__ import annotations

from collections.abc import Iterator

HOMONYMS: dict[str, tuple[str, str]] = {
    "admiral": ("a butterfly", "an officer"),
    "apple": ("a fruit", "a company's sign"),
    "ash": ("a tree", "what a fire leaves"),
    "bank": ("a river's edge", "a house of money"),
    "bar": ("a rod", "a room for drinks"),
    "bark": ("a tree's skin", "a dog's voice"),
    "bass": ("a fish", "an instrument"),
    "bat": ("an animal", "a piece of sports equipment"),
    "beetle": ("an insect", "a car"),
    "bishop": ("a clergyman", "a chess piece"),
    "bobcat": ("an animal", "a machine"),
    "bolt": ("a fastener", "lightning"),
    "bow": ("a weapon for arrows", "a ribbon"),
    "boxer": ("a dog", "a sportsman"),
    "bug": ("an insect", "an error"),
    "bulb": ("a lamp", "a part of a plant"),
    "bunting": ("a bird", "festive flags"),
    "calf": ("a young cow", "a part of the leg"),
    "canary": ("a bird", "an island"),
    "cape": ("a garment", "a headland"),
    "card": ("a playing card", "a bank card"),
    "cardinal": ("a bird", "a clergyman"),
    "cast": ("a plaster cast", "actors"),
    "caterpillar": ("an insect", "a machine"),
    "cell": ("a biological cell", "a prison cell"),
    "chest": ("a box", "a part of the body"),
    "chip": ("a slice of potato", "a microchip"),
    "club": ("a golf club", "a place to dance"),
    "clutch": ("a handbag", "a part of a car"),
    "coach": ("a bus", "a trainer"),
    "cobra": ("a snake", "a car"),
    "colt": ("a young horse", "a weapon"),
    "comma": ("a butterfly", "a punctuation mark"),
    "crane": ("a bird", "a machine"),
    "creeper": ("a bird", "a figure of a game"),
    "cricket": ("an insect", "a game"),
    "crown": ("a tooth's crown", "headwear"),
    "date": ("a fruit", "a day"),
    "drake": ("a male duck", "a dragon"),
    "drill": ("a tool", "a monkey"),
    "fan": ("a device that moves air", "a supporter"),
    "file": ("a tool", "a document"),
    "flicker": ("a bird", "a flame's light"),
    "fly": ("an insect", "flying"),
    "gear": ("a toothed wheel", "equipment"),
    "glasses": ("eyewear", "vessels to drink from"),
    "harrier": ("a bird", "an aircraft"),
    "hobby": ("a bird", "a pastime"),
    "hood": ("a part of a car", "a part of a garment"),
    "horn": ("an animal's horn", "an instrument"),
    "impala": ("an antelope", "a car"),
    "iris": ("a flower", "a part of the eye"),
    "iron": ("a device to smooth clothes", "a metal"),
    "jack": ("a tool that lifts cars", "a playing card"),
    "jaguar": ("an animal", "a car"),
    "jam": ("fruit in a jar", "many cars"),
    "jumper": ("a garment", "a sportsman"),
    "keyboard": ("a computer's keys", "an instrument"),
    "kid": ("a young goat", "a child"),
    "kite": ("a bird", "a toy"),
    "kiwi": ("a fruit", "a bird"),
    "knight": ("a man in armour", "a chess piece"),
    "knot": ("a bird", "a tied rope"),
    "log": ("a piece of wood", "a record"),
    "mandarin": ("a fruit", "an official"),
    "match": ("a stick to light fires", "a game"),
    "mercury": ("a metal", "a planet"),
    "merlin": ("a bird", "a wizard"),
    "mine": ("a pit", "an explosive"),
    "mint": ("a plant", "a sweet"),
    "mole": ("an animal", "a mark on the skin"),
    "monarch": ("a butterfly", "a ruler"),
    "monitor": ("a lizard", "a screen"),
    "mouse": ("an animal", "a computer's mouse"),
    "mustang": ("a horse", "a car"),
    "nail": ("a fastener", "a fingernail"),
    "needle": ("a tool to sew", "a leaf of a conifer"),
    "notebook": ("a book of paper", "a computer"),
    "nursery": ("a garden", "a room for children"),
    "nut": ("a fruit", "a fastener"),
    "organ": ("a part of the body", "an instrument"),
    "outlet": ("a socket", "a shop"),
    "palm": ("a tree", "a part of the hand"),
    "pawn": ("a chess piece", "a pledge"),
    "pepper": ("a vegetable", "a spice"),
    "perch": ("a fish", "a seat for birds"),
    "pike": ("a fish", "a weapon"),
    "pipe": ("a tube", "a thing to smoke"),
    "pitcher": ("a jug", "a player"),
    "plane": ("an aircraft", "a tool"),
    "plaque": ("a coating of teeth", "a sign on a wall"),
    "pointer": ("a dog", "an arrow"),
    "poker": ("a tool for fires", "a game"),
    "pool": ("a place to swim", "a game"),
    "puma": ("an animal", "a shoe"),
    "pump": ("a device", "a shoe"),
    "punch": ("a drink", "a blow"),
    "pupil": ("a part of the eye", "a child at school"),
    "python": ("a snake", "a language"),
    "rail": ("a bird", "a railway track"),
    "ram": ("a male sheep", "a computer's memory"),
    "range": ("a cooker", "mountains"),
    "ray": ("a fish", "light"),
    "ring": ("a jewel", "a place to box"),
    "rocket": ("a salad plant", "a spacecraft"),
    "roller": ("a bird", "a tool to paint"),
    "rook": ("a bird", "a chess piece"),
    "ruff": ("a bird", "a collar"),
    "ruler": ("a tool to measure", "a monarch"),
    "sage": ("a plant", "a wise man"),
    "scale": ("a device to weigh", "a part of a fish's skin"),
    "seal": ("an animal", "a gasket"),
    "setter": ("a dog", "a sportsman"),
    "shell": ("a sea animal's shell", "a piece of ammunition"),
    "skate": ("a fish", "a shoe with wheels"),
    "skipper": ("a butterfly", "a captain"),
    "slide": ("a thing to play on", "a picture to project"),
    "sole": ("a fish", "a part of a shoe"),
    "spade": ("a tool", "a playing card"),
    "speaker": ("a loudspeaker", "a person who speaks"),
    "spring": ("a coil", "a season"),
    "squash": ("a vegetable", "a game"),
    "stamp": ("a postage stamp", "a tool for ink"),
    "star": ("a shape", "the night sky"),
    "stilt": ("a bird", "a pole to walk on"),
    "stool": ("a seat", "faeces"),
    "swallow": ("a bird", "swallowing"),
    "swift": ("a bird", "fast"),
    "switch": ("a light switch", "a game console"),
    "tablet": ("a pill", "a computer"),
    "tank": ("a container", "a vehicle"),
    "tap": ("a part of a sink", "a dance"),
    "thrush": ("a bird", "an infection"),
    "tick": ("an animal", "a check mark"),
    "tissue": ("a piece of an organ", "a piece of paper"),
    "top": ("a garment", "a toy that spins"),
    "torch": ("a lamp", "a burning stick"),
    "trainer": ("a shoe", "a person who trains"),
    "trunk": ("a tree's trunk", "an elephant's trunk"),
    "turkey": ("a bird", "a country"),
    "vessel": ("a blood vessel", "a ship"),
    "violet": ("a flower", "a colour"),
    "viper": ("a snake", "a car"),
    "washer": ("a ring under a screw", "a washing machine"),
}
"""English words by both of their meanings, that which is more often a class first."""
PLURALS = {"calves": "calf", "mice": "mouse"}
"""Those that no ending tells."""
ENDINGS = (
    ("ies", "y"),
    *((f"{end}es", end) for end in ("s", "x", "z", "ch", "sh")),
    ("s", ""),
)
"""Of plurals, and what stands there in the singular."""
ARTICLES = ("a ", "an ", "the ")


def ambiguous(words: str) -> tuple[str, tuple[str, str]] | None:
    """A word, in the singular, and its two meanings.

    Args:
        words: for a class.

    Returns:
        None where they have one meaning, or more than one word, which explains it.
    """
    plain = words.strip().lower()
    start = next((one for one in ARTICLES if plain.startswith(one)), "")
    found = next((w for w in _singulars(plain.removeprefix(start)) if w in HOMONYMS), None)
    return None if found is None else (found, HOMONYMS[found])


def _singulars(word: str) -> Iterator[str]:
    """What a word may be in the singular, itself first."""
    yield word
    if word in PLURALS:
        yield PLURALS[word]
    for ending, singular in ENDINGS:
        if word.endswith(ending):
            yield word.removesuffix(ending) + singular
