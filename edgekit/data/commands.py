"""Smart-home commands made from a grammar: several thousand distinct labelled sentences.

The test part has phrasings, rooms and things that the training part never says, so that what is
measured is more than memory of the templates.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence

import numpy as np

TRAIN_ROWS = 6000
TEST_ROWS = 1200
ROOMS = (
    "kitchen", "living room", "bedroom", "bathroom", "hallway", "office", "garage", "basement",
    "nursery", "dining room", "guest room", "attic",
)  # fmt: skip
NEW_ROOMS = ("study", "porch", "laundry room", "playroom")
LIGHTS = ("light", "lights", "lamp", "ceiling light", "floor lamp", "reading light", "spotlights")
NEW_LIGHTS = ("bulb", "night light", "chandelier")
NUMBERS = ("five", "ten", "fifteen", "twenty", "thirty", "forty five", "5", "10", "20", "25", "30")
DEGREES = ("18", "19", "20", "21", "22", "23", "eighteen", "twenty", "twenty one", "twenty two")
SONGS = ("some jazz", "classical music", "my morning playlist", "the radio", "rock music",
         "a podcast", "the news", "relaxing sounds", "dance music",
         "my favourite album")  # fmt: skip
NEW_SONGS = ("some blues", "the evening playlist", "an audiobook", "folk music")
POLITE = ("", "", "", "please ", "can you ", "could you please ", "hey, ", "would you ",
          "i want you to ")  # fmt: skip
PLAIN = ("", "", "", "hey, ", "ok, ", "well, ")
TAIL = ("", "", "", "", " please", " now", " for me", " right away", ", thanks")
VERBS = frozenset(
    "turn switch put light get make kill cut dim set lower reduce bring take heat warm raise crank"
    " cool start open pull let roll lift draw move close keep shut block lock secure bolt double"
    " unlock release unbolt buzz grant play resume fire fill give stop pause mute end be remind"
    " count wake tell ring beep".split()
)
"""What a phrasing begins with that a "can you" goes before."""

GRAMMAR: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "light_on": (
        (
            "turn on the {light} in the {room}",
            "switch the {room} {light} on",
            "{room} {light} on",
            "turn the {light} on in the {room}",
            "switch on the {room} {light}",
            "put the {room} {light} on",
            "i need the {light} in the {room}",
            "it is too dark in the {room}",
            "make it bright in the {room}",
        ),
        (
            "the {room} {light} on",
            "put on the {light} in the {room}",
            "the {room} is too dark",
            "turn the {room} {light} on",
        ),
    ),
    "light_off": (
        (
            "turn off the {light} in the {room}",
            "switch the {room} {light} off",
            "{room} {light} off",
            "turn the {light} off in the {room}",
            "switch off the {room} {light}",
            "put out the {light} in the {room}",
            "no more {light} in the {room}",
            "nobody needs the {light} in the {room}",
            "make the {room} dark",
        ),
        (
            "the {room} {light} off",
            "put the {room} {light} out",
            "turn the {room} {light} off",
            "it should be dark in the {room}",
        ),
    ),
    "dim": (
        (
            "dim the {light} in the {room}",
            "dim the {room} {light} to {n} percent",
            "set the {room} {light} to {n} percent",
            "lower the brightness in the {room}",
            "make the {light} in the {room} a bit darker",
            "reduce the {room} {light} to {n} percent",
            "the {light} in the {room} is too bright",
            "softer light in the {room}",
        ),
        (
            "make the {room} {light} softer",
            "reduce the brightness of the {room} {light}",
            "the {room} {light} is too bright",
            "lower the {light} in the {room} to {n} percent",
        ),
    ),
    "heat": (
        (
            "set the {room} to {deg} degrees",
            "make it {deg} degrees in the {room}",
            "heat the {room} to {deg} degrees",
            "turn up the heating in the {room}",
            "it is cold in the {room}",
            "warm up the {room}",
            "i am freezing in the {room}",
            "the {room} should be warmer",
            "more heating in the {room}",
            "raise the {room} temperature",
        ),
        (
            "the {room} is too cold",
            "make the {room} warmer",
            "turn the heating up in the {room}",
            "warm the {room} up to {deg} degrees",
        ),
    ),
    "cool": (
        (
            "cool the {room} down",
            "turn on the air conditioning in the {room}",
            "it is too hot in the {room}",
            "turn down the heating in the {room}",
            "start the fan in the {room}",
            "make the {room} cooler",
            "lower the {room} temperature",
            "i am sweating in the {room}",
            "less heating in the {room}",
            "fresh air in the {room}",
        ),
        (
            "the {room} is too hot",
            "turn the heating down in the {room}",
            "cool down the {room}",
            "turn the fan on in the {room}",
        ),
    ),
    "blinds_open": (
        (
            "open the blinds in the {room}",
            "raise the {room} blinds",
            "pull up the shutters in the {room}",
            "open the curtains in the {room}",
            "let the sun into the {room}",
            "{room} blinds up",
            "roll up the blinds in the {room}",
            "lift the shutters in the {room}",
        ),
        (
            "blinds up in the {room}",
            "pull the {room} curtains open",
            "raise the shutters in the {room}",
            "open the {room} shutters",
        ),
    ),
    "blinds_close": (
        (
            "close the blinds in the {room}",
            "lower the {room} blinds",
            "pull down the shutters in the {room}",
            "close the curtains in the {room}",
            "keep the sun out of the {room}",
            "{room} blinds down",
            "roll down the blinds in the {room}",
            "shut the curtains in the {room}",
        ),
        (
            "blinds down in the {room}",
            "pull the {room} curtains shut",
            "lower the shutters in the {room}",
            "close the {room} shutters",
        ),
    ),
    "lock": (
        (
            "lock the {door}",
            "lock the {door} and tell me",
            "close the {door} and lock it",
            "make sure the {door} is locked",
            "secure the {door}",
            "is the {door} locked, if not lock it",
            "nobody should come through the {door}",
            "bolt the {door}",
            "put the lock on the {door}",
        ),
        (
            "make the {door} secure",
            "the {door} should be locked",
            "is the {door} closed and locked",
            "put the bolt on the {door}",
        ),
    ),
    "unlock": (
        (
            "unlock the {door}",
            "open the {door}",
            "open the {door} for {who}",
            "let {who} in at the {door}",
            "release the lock of the {door}",
            "{who} is at the {door}, let them in",
            "unbolt the {door}",
            "take the lock off the {door}",
        ),
        (
            "let {who} in",
            "unlock the {door} for {who}",
            "{who} wants in at the {door}",
            "release the {door}",
        ),
    ),
    "music_on": (
        (
            "play {song} in the {room}",
            "put on {song}",
            "start {song} in the {room}",
            "i want to hear {song}",
            "play {song} on the {room} speaker",
            "turn on {song} in the {room}",
            "i feel like {song}",
            "let us hear {song}",
            "resume {song} in the {room}",
        ),
        (
            "turn {song} on",
            "i want {song} in the {room}",
            "start to play {song}",
            "put {song} on in the {room}",
        ),
    ),
    "music_off": (
        (
            "stop the music",
            "stop playing in the {room}",
            "turn off {song} in the {room}",
            "pause the music in the {room}",
            "silence in the {room}",
            "mute the {room} speaker",
            "switch the music off",
            "i do not want to hear {song}",
            "end the music in the {room}",
        ),
        (
            "stop {song}",
            "turn the music off in the {room}",
            "no more {song}",
            "mute {song} in the {room}",
        ),
    ),
    "timer": (
        (
            "set a timer for {n} minutes",
            "start a {n} minute timer",
            "remind me in {n} minutes",
            "timer for {n} minutes",
            "count down {n} minutes",
            "wake me in {n} minutes",
            "tell me when {n} minutes are over",
            "set the {room} timer to {n} minutes",
            "alarm in {n} minutes",
            "give me {n} minutes",
        ),
        (
            "{n} minute timer",
            "wake me up in {n} minutes",
            "alarm after {n} minutes",
            "set a {n} minute alarm",
        ),
    ),
}
"""Phrasings of each intent: those of the training part, and those held out for the test part."""
DOORS = ("front door", "back door", "garage door", "gate", "cellar door", "balcony door")
NEW_DOORS = ("side door", "main entrance")
PEOPLE = (
    "the postman",
    "my sister",
    "the plumber",
    "our guests",
    "my neighbour",
    "anna",
    "the kids",
)
NEW_PEOPLE = ("the gardener", "my parents", "the courier")
TRAIN_WORDS = {"room": ROOMS, "light": LIGHTS, "n": NUMBERS, "deg": DEGREES, "song": SONGS,
               "door": DOORS, "who": PEOPLE}  # fmt: skip
TEST_WORDS = {**TRAIN_WORDS, "room": ROOMS[:6] + NEW_ROOMS, "light": LIGHTS[:4] + NEW_LIGHTS,
              "song": SONGS[:5] + NEW_SONGS, "door": DOORS[:3] + NEW_DOORS,
              "who": PEOPLE[:3] + NEW_PEOPLE}  # fmt: skip
KNOWN_SHARE = 0.5
"""Of the test rows, those with a phrasing that training has, but with other words."""


def make_commands(*, seed: int = 1) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Make the training and the test rows, (text, label) each; no text is in both.

    Returns:
        TRAIN_ROWS and TEST_ROWS rows, all texts distinct, classes equally often.
    """
    rng = np.random.default_rng(seed)
    train = _rows(rng, TRAIN_ROWS, {k: v[0] for k, v in GRAMMAR.items()}, TRAIN_WORDS, set())
    seen = {text for text, _ in train}
    known = round(TEST_ROWS * KNOWN_SHARE)
    old = {k: v[0] for k, v in GRAMMAR.items()}
    test = _rows(rng, known, old, TEST_WORDS, seen)
    seen |= {text for text, _ in test}
    new = {k: v[1] for k, v in GRAMMAR.items()}
    test += _rows(rng, TEST_ROWS - known, new, TEST_WORDS, seen)
    return _mixed(train, rng), _mixed(test, rng)


def write_table(rows: Sequence[tuple[str, str]], *, label: str = "label") -> bytes:
    """Turn rows into CSV with the columns text and label."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("text", label))
    writer.writerows(rows)
    return buffer.getvalue().encode()


def fill(phrase: str, words: dict[str, tuple[str, ...]], rng: np.random.Generator) -> str:
    """Put a word of its kind into every {slot} of a phrasing."""
    return re.sub(r"\{(\w+)\}", lambda slot: pick(words[slot[1]], rng), phrase)


def pick(choices: Sequence[str], rng: np.random.Generator) -> str:
    """Choose one."""
    return choices[int(rng.integers(len(choices)))]


def _rows(
    rng: np.random.Generator,
    count: int,
    phrases: dict[str, tuple[str, ...]],
    words: dict[str, tuple[str, ...]],
    seen: set[str],
) -> list[tuple[str, str]]:
    rows = []
    quota = [count // len(phrases) + (i < count % len(phrases)) for i in range(len(phrases))]
    for (label, choices), wanted in zip(phrases.items(), quota, strict=True):
        texts = itertools.islice(_distinct(rng, choices, words, seen), wanted)
        rows += [(text, label) for text in texts]
    return rows


def _distinct(
    rng: np.random.Generator,
    phrases: Sequence[str],
    words: dict[str, tuple[str, ...]],
    seen: set[str],
) -> Iterator[str]:
    known = set(seen)
    for phrase in itertools.cycle(phrases):
        head = POLITE if phrase.split()[0] in VERBS else PLAIN
        text = f"{pick(head, rng)}{fill(phrase, words, rng)}{pick(TAIL, rng)}"
        if text not in known:
            known.add(text)
            yield text


def _mixed(rows: list[tuple[str, str]], rng: np.random.Generator) -> list[tuple[str, str]]:
    return [rows[i] for i in rng.permutation(len(rows))]
