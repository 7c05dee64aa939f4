"""Finding names and what links them in plain prose, by capital letters alone."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

WORDS = """
a about above after again against all almost also although always am among an and another any are as at away
    be because been before behind being below between both but by can cannot could did do does done down each either
    else even ever every far few first for from had has have having he her here hers herself him himself his how
    however i if in indeed into is it its itself just last least less let like little long made make many may me might
    mine more most much must my myself near neither never no none nor not nothing now of off often oh on once one only
    or other our ours out over own perhaps quite rather same saw say see shall she should since so some still such
    than that the their theirs them themselves then there these they this those though through thus till to too two
    under until up upon us very was we well were what when where whether which while who whom whose why will with
    within without would yes yet you your yours yourself
"""
COMMON = frozenset(WORDS.split())
"""Words that say nothing about what a text is about."""

TITLE = r"(?:Mr|Mrs|Dr|St|Sir|Lord|Lady|Miss|Captain|Professor|King|Queen|President)\.?"
WORD = r"[A-Z][a-zà-öø-ÿ]+(?:['’][A-Z][a-z]+)?(?:-[A-Z][a-z]+)*"
NAME = re.compile(rf"\b(?:{TITLE} )?{WORD}(?: (?:of (?:the )?)?{WORD})*")
SENTENCE = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+(?=[\"'“‘(\[]*[A-Z])|\n\s*\n")
LONGEST_SENTENCE = 240
SHORTEST = 3
FEW = 2
MARKER = re.compile(r"MARK-[0-9a-zA-Z]+")


@dataclass(frozen=True, slots=True)
class Name:
    """Something with a name, and the sentence that says the most about it."""

    name: str
    kind: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Link:
    """Two names that stand together in a sentence."""

    source: str
    target: str
    keywords: str
    sentence: str


def sentences(text: str) -> list[str]:
    """The sentences of a text, each on one line, without markers and without the signs that delimit records."""
    text = MARKER.sub("", text)
    titled = re.sub(r"\b(Mr|Mrs|Dr|St)\.(?=\s)", "\\1\0", text)
    found = (re.sub(r"[\s\"“”<>|#{}`]+", " ", part).strip() for part in SENTENCE.split(titled))
    return [part.replace("\0", ".") for part in found if part]


def find(text: str) -> tuple[list[Name], list[Link]]:
    """Names in a text, the most frequent first, and the links between them.

    A text without names yields its most frequent long words instead.
    """
    lines = sentences(text)
    inside: Counter[str] = Counter()
    places: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        for name, opening in _names(line):
            inside[name] += 0 if opening else 1
            where = places.setdefault(name, [])
            if number not in where:
                where.append(number)
    known = [name for name in places if inside[name] or " " in name]
    if len(known) < FEW:
        known += _long_words(lines, places)
    known.sort(key=lambda name: (-len(places[name]), places[name][0], name))
    names = [Name(name, _kind(name, lines, places[name]), _best(name, lines, places[name])) for name in known]
    return names, _links(known, lines, places)


def _names(line: str) -> list[tuple[str, bool]]:
    found = []
    for match in NAME.finditer(line):
        words = match.group().replace("’", "'").split(" ")
        opening = not re.search(r"\w", line[: match.start()])
        while words and words[0].lower() in COMMON:
            words.pop(0)
            opening = False
        while words and (words[-1] in {"of", "the"} or words[-1].lower() in COMMON):
            words.pop()
        name = " ".join(words).strip(".")
        if not re.fullmatch(TITLE, name) and len(name) >= SHORTEST:
            found.append((name, opening))
    return found


def _long_words(lines: list[str], places: dict[str, list[int]]) -> list[str]:
    counts = Counter(word for line in lines for word in re.findall(r"\b[a-z]{6,}\b", line) if word not in COMMON)
    words = []
    for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:4]:
        name = word.capitalize()
        if name not in places:
            places[name] = [number for number, line in enumerate(lines) if re.search(rf"\b{word}\b", line)]
            words.append(name)
    return words


def _kind(name: str, lines: list[str], where: list[int]) -> str:
    if re.match(TITLE + " ", name):
        return "Person"
    around = " ".join(lines[number] for number in where)
    quoted = re.escape(name)
    if re.search(
        rf"\b(?:said|cried|thought|asked|replied) {quoted}|{quoted}(?:'s|’s)? (?:said|cried|thought|knew)\b", around
    ):
        return "Person"
    if re.search(rf"\b(?:in|at|from|near|to) (?:the )?{quoted}", around):
        return "Location"
    return "Concept"


def _best(name: str, lines: list[str], where: list[int]) -> str:
    line = max((lines[number] for number in where[:5]), key=lambda line: min(len(line), LONGEST_SENTENCE), default=name)
    return line if len(line) <= LONGEST_SENTENCE else line[:LONGEST_SENTENCE].rsplit(" ", 1)[0]


def _links(known: list[str], lines: list[str], places: dict[str, list[int]]) -> list[Link]:
    links: dict[tuple[str, str], Link] = {}
    for position, one in enumerate(known):
        for other in known[position + 1 :]:
            shared = [number for number in places[one] if number in places[other]]
            if shared and one not in other and other not in one:
                line = _best(one, lines, shared)
                links[one, other] = Link(one, other, _keywords(line), line)
    linked = {name for pair in links for name in pair}
    for one, other in pairwise(known):
        if other not in linked:
            line = f"{one} and {other} stand in the same passage."
            links.setdefault((one, other), Link(one, other, "same passage", line))
    return list(links.values())


def _keywords(line: str) -> str:
    words = sorted(set(re.findall(r"\b[a-z]{5,}\b", line)) - COMMON, key=lambda word: (-len(word), word))
    return ", ".join(words[:2]) or "association"
