"""The stub server plays every role of LightRAG's prompts, in the formats of 1.3, 1.4 and 1.5."""

import json

import openai
import pytest
from lightrag.prompt import PROMPTS
from lightrag.prompt_multimodal import MULTIMODAL_PROMPTS

from ragmeter.testing import StubServer, documents

PASSAGE = documents()["a-christmas-carol-2.txt"]
FILL = {
    "tuple_delimiter": "<|#|>",
    "completion_delimiter": "<|COMPLETE|>",
    "language": "English",
    "max_total_records": 100,
    "max_entity_records": 40,
    "entity_types_guidance": PROMPTS["default_entity_types_guidance"],
    "heading_context_block": "",
    "input_text": PASSAGE,
    "examples": "",
}
OLD = """---Goal---
Given a text document that is potentially relevant to this activity and a list of entity types, \
identify all entities of those types from the text and all relationships among the identified entities.

---Steps---
Format each entity as ("entity"<|><entity_name><|><entity_type><|><entity_description>)
Format each relationship as ("relationship"<|><source_entity><|><target_entity><|>\
<relationship_description><|><relationship_keywords><|><relationship_strength>)
4. Return output in English as a single list of all the entities and relationships. Use **##** as the list delimiter.
5. When finished, output <|COMPLETE|>

---Examples---
Entity_types: [person, technology]
Text:
```
while Alex clenched his jaw, the buzz of frustration dull against the backdrop of Taylor's certainty.
```

Output:
("entity"<|>"Alex"<|>"person"<|>"Alex is a character."){done}

---Real Data---
######################
Entity_types: [organization,person,geo,event,category]
Text:
{text}
######################
Output:"""


@pytest.fixture(scope="module")
def server():
    with StubServer() as server:
        yield server


@pytest.fixture
def ask(server):
    """Sends messages and returns the answer and the role that the stub saw in them."""
    with openai.OpenAI(base_url=server.base_url, api_key="any") as client:

        def ask(*messages, **body):
            said = [{"role": role, "content": content} for role, content in messages]
            answer = client.chat.completions.create(model="m", messages=said, **body)
            return answer.choices[0].message.content, server.bills[-1].role

        yield ask


def rows(answer):
    *found, end = answer.split("\n")
    assert end == "<|COMPLETE|>"
    return [row.split("<|#|>") for row in found]


def names_in(found):
    return {row[1] for row in found if row[0] == "entity"}


def test_extraction_and_gleaning_in_records(ask):
    system = ("system", PROMPTS["entity_extraction_system_prompt"].format(**FILL))
    user = ("user", PROMPTS["entity_extraction_user_prompt"].format(**FILL))
    answer, role = ask(system, user)
    first = rows(answer)
    assert role == "extract"
    assert {len(row) for row in first if row[0] == "entity"} == {4}
    assert {len(row) for row in first if row[0] == "relation"} == {5}
    assert {row[0] for row in first} == {"entity", "relation"}
    assert {"Scrooge", "Christmas"} <= names_in(first)
    for row in first:
        if row[0] == "relation":
            assert {row[1], row[2]} <= names_in(first)

    more = ("user", PROMPTS["entity_continue_extraction_user_prompt"].format(**FILL))
    answer, role = ask(system, user, ("assistant", answer), more)
    second = rows(answer)
    assert role == "glean"
    assert names_in(second)
    assert names_in(second).isdisjoint(names_in(first))


def test_limits_of_extraction_are_kept(ask):
    fill = {**FILL, "max_total_records": 3, "max_entity_records": 2}
    system = ("system", PROMPTS["entity_extraction_system_prompt"].format(**fill))
    answer, _ = ask(system, ("user", PROMPTS["entity_extraction_user_prompt"].format(**fill)))
    found = rows(answer)
    assert len(names_in(found)) == 2
    assert len(found) <= 3
    for row in found[2:]:
        assert {row[1], row[2]} == names_in(found)


def test_extraction_and_gleaning_in_json(ask):
    system = ("system", PROMPTS["entity_extraction_json_system_prompt"].format(**FILL))
    user = ("user", PROMPTS["entity_extraction_json_user_prompt"].format(**FILL))
    answer, role = ask(system, user, response_format={"type": "json_object"})
    found = json.loads(answer)
    assert role == "extract"
    assert {"Scrooge", "Christmas"} <= {entity["name"] for entity in found["entities"]}
    assert {frozenset(entity) for entity in found["entities"]} == {frozenset({"name", "type", "description"})}
    assert set(found["relationships"][0]) == {"source", "target", "keywords", "description"}
    more = ("user", PROMPTS["entity_continue_extraction_json_user_prompt"].format(**FILL))
    answer, role = ask(system, user, ("assistant", answer), more)
    assert role == "glean"
    assert json.loads(answer)["entities"]


def test_extraction_as_releases_up_to_1_4_6_ask_for_it(ask):
    user = ("user", OLD.format(text=PASSAGE, done="<|COMPLETE|>"))
    answer, role = ask(user)
    assert role == "extract"
    assert answer.endswith(")<|COMPLETE|>")
    records = [record.strip()[1:-1].split("<|>") for record in answer.removesuffix("<|COMPLETE|>").split("##")]
    entities = {record[1] for record in records if record[0] == '"entity"'}
    assert {'"Scrooge"', '"Christmas"'} <= entities
    assert '"Alex"' not in entities
    assert {len(record) for record in records if record[0] == '"relationship"'} == {6}
    more = (
        "user",
        "MANY entities and relationships were missed in the last extraction.\n\n"
        + OLD.split("---Examples", maxsplit=1)[0],
    )
    answer, role = ask(user, ("assistant", answer), more)
    assert role == "glean"
    assert '("entity"<|>' in answer
    loop = ("user", "It appears some entities may have still been missed.\n\nAnswer ONLY by `YES` OR `NO` if so.")
    assert ask(user, ("assistant", answer), loop) == ("NO", "glean")


def test_keywords_come_from_the_question_and_carry_its_marker(ask):
    question = "What does Scrooge think of Christmas? MARK-7f3a"
    answer, role = ask(
        ("user", PROMPTS["keywords_extraction"].format(query=question, examples="{}", language="English"))
    )
    assert role == "keyword"
    found = json.loads(answer)
    assert set(found) == {"high_level_keywords", "low_level_keywords"}
    assert set(found["low_level_keywords"]) == {"Scrooge", "Christmas", "MARK-7f3a"}
    assert set(found["high_level_keywords"]) == {"think", "Scrooge", "Christmas", "MARK-7f3a"}


def test_summaries_begin_with_the_name(ask):
    listed = "\n".join(
        json.dumps({"Description": text}) for text in ("Scrooge is a miser.", "Scrooge hates Christmas.")
    )
    prompt = PROMPTS["summarize_entity_descriptions"].format(
        description_type="Entity",
        description_name="Scrooge",
        description_list=listed,
        summary_length=600,
        language="English",
    )
    answer, role = ask(("user", prompt))
    assert role == "summary"
    assert answer.startswith("Scrooge, ")
    assert "Scrooge is a miser. Scrooge hates Christmas." in answer


def test_queries_speak_of_what_was_found(ask):
    context = PROMPTS["kg_query_context"].format(
        entities_str='{"entity": "Scrooge", "type": "person"}\n{"entity": "Jacob Marley", "type": "person"}',
        relations_str="",
        text_chunks_str='{"reference_id": "1", "content": "Marley was dead."}',
        reference_list_str="[1] carol.txt",
    )
    system = PROMPTS["rag_response"].format(response_type="Paragraphs", user_prompt="", context_data=context)
    answer, role = ask(("system", system), ("user", "Who was dead? MARK-7f3a"))
    assert role == "query"
    for part in ("Who was dead? MARK-7f3a", "Scrooge, Jacob Marley", "### References", "[1] carol.txt"):
        assert part in answer


@pytest.mark.parametrize("kind", MULTIMODAL_PROMPTS)
def test_pictures_tables_and_equations_get_the_json_they_need(ask, kind):
    answer, role = ask(("user", MULTIMODAL_PROMPTS[kind]))
    assert role == "vlm"
    assert {"name", "type", "description", "equation"} <= set(json.loads(answer))


def test_other_prompts_are_repeated(ask):
    assert ask(("user", "Good morning")) == ("You said: Good morning. This is all that a stub can answer.", "other")
    answer, _ = ask(("user", "Good morning"), response_format={"type": "json_object"})
    assert json.loads(answer) == {"answer": "You said: Good morning"}


def test_a_text_without_names_still_gives_entities(ask):
    text = "the weather station measured temperature. the temperature at the station rose as the weather changed."
    system = ("system", PROMPTS["entity_extraction_system_prompt"].format(**FILL))
    answer, _ = ask(system, ("user", PROMPTS["entity_extraction_user_prompt"].format(**{**FILL, "input_text": text})))
    assert {"Temperature", "Weather", "Station"} <= names_in(rows(answer))
