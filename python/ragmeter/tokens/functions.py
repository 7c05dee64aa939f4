"""Functions as the models of OpenAI see them: a TypeScript namespace.

OpenAI does not publish this form. It was found by others by comparing counts, and holds for the recorded requests of
gpt-3.5 to gpt-4.1 to within a token a function (docs/tokens.md).
"""

from __future__ import annotations

from typing import Any

# Deeper properties are indented, and their descriptions left out.
DESCRIBED_DEPTH = 2


def render(functions: list[dict[str, Any]]) -> str:
    """Write functions as the model reads them."""
    lines = ["namespace functions {", ""]
    for function in functions:
        description = _text(function.get("description"))
        if description:
            lines.append("// " + description.removesuffix("."))
        parameters = function.get("parameters")
        name = _text(function.get("name"))
        if isinstance(parameters, dict) and parameters.get("properties"):
            lines += [f"type {name} = (_: {{", _properties(parameters, 0), "}) => any;", ""]
        else:
            lines += [f"type {name} = () => any;", ""]
    return "\n".join([*lines, "} // namespace functions"])


def undescribed(functions: list[dict[str, Any]]) -> int:
    """Count the functions whose properties have no description: each costs a token less than it is written with."""
    number = 0
    for function in functions:
        parameters = function.get("parameters")
        properties = parameters.get("properties") if isinstance(parameters, dict) else None
        if isinstance(properties, dict) and properties:
            number += not any(isinstance(value, dict) and value.get("description") for value in properties.values())
    return number


def _properties(schema: dict[str, Any], depth: int) -> str:
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return ""
    required = schema.get("required") or []
    lines = []
    for name, value in properties.items():
        kind = value if isinstance(value, dict) else {}
        if depth < DESCRIBED_DEPTH and kind.get("description"):
            lines.append(f"// {_text(kind['description'])}")
        lines.append(f"{name}{'' if name in required else '?'}: {_type(kind, depth)},")
    return "\n".join("  " * depth + line for line in lines)


def _type(schema: dict[str, Any], depth: int) -> str:
    kind, enum = schema.get("type"), schema.get("enum")
    if isinstance(alternatives := schema.get("anyOf") or schema.get("oneOf"), list):
        return " | ".join(_type(alternative, depth) for alternative in alternatives if isinstance(alternative, dict))
    if isinstance(kind, list):
        return " | ".join(_type({**schema, "type": alternative}, depth) for alternative in kind)
    if isinstance(enum, list) and enum:
        import json

        return " | ".join(json.dumps(value, ensure_ascii=False) for value in enum)
    if kind == "array":
        items = schema.get("items")
        return (_type(items, depth) if isinstance(items, dict) and items else "any") + "[]"
    if kind == "object":
        return "{\n" + _properties(schema, depth + 1) + "\n" + "  " * depth + "}"
    return {"integer": "number"}.get(str(kind), str(kind)) if kind in PLAIN else "any"


PLAIN = ("string", "number", "integer", "boolean", "null")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
