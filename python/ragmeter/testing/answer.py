"""Writing answers that LightRAG can use, in whatever format its prompt asks for."""

from __future__ import annotations

import json
import re

from ragmeter.testing.names import COMMON, Link, Name, find, sentences
from ragmeter.testing.prompt import Prompt, markers, passage

ENTITIES = 6
GLEANED = 3
RELATIONS = 10
DELIMITER = re.compile(r"entity\"?(<\|[^<>|\s]*\|?>|[^\s\w<>(`]{1,8})<?entity_name")
COMPLETION = re.compile(r"<\|[A-Z_]{4,}\|>")
RECORD = re.compile(r"Use \*\*(\S+)\*\* as the list delimiter")
OLD_KINDS = {"Person": "person", "Location": "geo", "Concept": "category"}


def write(prompt: Prompt) -> str:
    """The answer to a prompt: always the same for the same prompt."""
    writers = {
        "extract": _extraction,
        "glean": _extraction,
        "keyword": _keywords,
        "summary": _summary,
        "query": _query,
        "vlm": _picture,
    }
    return writers.get(prompt.role, _other)(prompt)


def _extraction(prompt: Prompt) -> str:
    if "`YES` OR `NO`" in prompt.last:
        return "NO"
    names, links = find(passage(prompt))
    old = names[:ENTITIES]
    new = names[ENTITIES : ENTITIES + GLEANED] if prompt.role == "glean" else old
    fresh, known = {name.name for name in new}, {name.name for name in [*old, *new]}
    links = [
        link
        for link in links
        if {link.source, link.target} <= known and not {link.source, link.target}.isdisjoint(fresh)
    ]
    new = new[: _limit(r"at most (\d+) entity", prompt.text, ENTITIES)]
    links = links[: min(RELATIONS, _limit(r"at most (\d+) total", prompt.text, 1000) - len(new))]
    if "`relationships` arrays" in prompt.text:
        return _json(new, links)
    return _records(prompt.text, new, links)


def _limit(pattern: str, text: str, default: int) -> int:
    found = re.search(pattern, text)
    return int(found.group(1)) if found else default


def _json(names: list[Name], links: list[Link]) -> str:
    entities = [{"name": one.name, "type": one.kind, "description": _describe(one)} for one in names]
    relationships = [
        {"source": one.source, "target": one.target, "keywords": one.keywords, "description": one.sentence}
        for one in links
    ]
    return json.dumps({"entities": entities, "relationships": relationships}, ensure_ascii=False)


def _records(text: str, names: list[Name], links: list[Link]) -> str:
    found, end = DELIMITER.search(text), COMPLETION.search(text)
    cut = found.group(1) if found else "<|#|>"
    done = end.group() if end else "<|COMPLETE|>"
    if '("entity"' not in text:
        rows = [["entity", one.name, one.kind, _describe(one)] for one in names]
        rows += [["relation", one.source, one.target, one.keywords, one.sentence] for one in links]
        return "\n".join([*(cut.join(row) for row in rows), done])
    # 1.2 and 1.3: every field in quotes, every record in brackets, the strength of a relation last.
    rows = [['"entity"', *_quoted(one.name, OLD_KINDS.get(one.kind, "category"), _describe(one))] for one in names]
    rows += [['"relationship"', *_quoted(one.source, one.target, one.sentence, one.keywords), "7"] for one in links]
    rows.append(['"content_keywords"', *_quoted(", ".join(one.name for one in names[:3]))])
    separator = RECORD.search(text)
    return (f"{separator.group(1) if separator else '##'}\n").join(f"({cut.join(row)})" for row in rows) + done


def _quoted(*fields: str) -> list[str]:
    return [f'"{field}"' for field in fields]


def _describe(name: Name) -> str:
    return f"{name.name} appears in this passage: {name.sentence}"


def _keywords(prompt: Prompt) -> str:
    asked = re.split(r"\n(?:User|Current) Query:|\nQuery:", prompt.last)[-1]
    question = re.split(r"\n\s*(?:---Output---|#{6,})", asked)[0].strip()
    names = [one.name for one in find(question)[0]]
    plain = [word for word in re.findall(r"\b[a-z]{4,}\b", " ".join(sentences(question))) if word not in COMMON]
    words = list(dict.fromkeys(plain))
    # The marker goes into both lists so that the embeddings of the keywords can be told apart as well.
    marked = list(markers(question))
    low, high = names or words[:3], words[:3] + names[:2]
    return json.dumps({"high_level_keywords": high + marked, "low_level_keywords": low + marked}, ensure_ascii=False)


def _summary(prompt: Prompt) -> str:
    found = re.search(r"(?:Entity|Relation|Relationship) Name: *(.+)|Entities: *(.+)", prompt.last)
    name = (found.group(1) or found.group(2)).strip() if found else "The subject"
    listed = re.split(r"\n\s*(?:---Output---|#{5,})", prompt.last.split("Description List:", 1)[-1])[0]
    known = dict.fromkeys(line for part in _descriptions(listed) for line in sentences(part))
    words = " ".join(known).split(" ")
    return f"{name}, put together from {len(known)} statements. {' '.join(words[:100])}"


def _descriptions(listed: str) -> list[str]:
    found = []
    for line in listed.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        found += [str(text) for text in value.values()] if isinstance(value, dict) else []
    return found or [listed]


def _query(prompt: Prompt) -> str:
    question = prompt.last.strip()
    context = prompt.system
    names = list(dict.fromkeys(re.findall(r'"entity": ?"((?:[^"\\]|\\.)+)"', context)))[:6]
    if not names:
        chunks = re.findall(r'"content": ?"((?:[^"\\]|\\.)+)"', context)
        names = [one.name for one in find("\n".join(chunks).replace("\\n", "\n").replace('\\"', '"'))[0][:6]]
    files = re.findall(r"^\[(\d+)\] (.+)$", context, re.MULTILINE)[:5]
    told = ", ".join(names) or "nothing"
    body = f"You asked: {question}\n\nThe knowledge base speaks of {told}. Each of them is named in the passages found."
    sources = "\n".join(f"- [{number}] {title}" for number, title in files)
    return f"{body}\n\n### References\n\n{sources}" if sources else body


def _picture(prompt: Prompt) -> str:
    told = f"A picture that only a stub has looked at. {' '.join(markers(prompt.text))}".strip()
    return json.dumps({"name": "stub_picture", "type": "Photo", "equation": "1 = 1", "description": told})


def _other(prompt: Prompt) -> str:
    words = prompt.last.split()
    asked = " ".join(words[:40])
    missing = [marker for marker in markers(prompt.text) if marker not in asked]
    told = " ".join([f"You said: {asked}", *missing])
    return (
        json.dumps({"answer": told}, ensure_ascii=False)
        if prompt.json
        else f"{told}. This is all that a stub can answer."
    )
