"""The schema of the HTTP interface as a list to read: FastAPI's own page would load its script from another host."""

from typing import Any

_METHODS = ("get", "post", "put")


def operations_of(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Every operation of an OpenAPI schema.

    Args:
        schema: OpenAPI 3.1.

    Returns:
        `method`, `path`, `summary`, `description`, `parameters` (name, place, type, meaning, whether it must be given),
        `bodies` (content type and fields) and `answers` (status and meaning), in the schema's order.
    """
    return [
        {
            "method": method.upper(),
            "path": path,
            "summary": operation.get("summary", ""),
            "description": operation.get("description", ""),
            "parameters": [_parameter(found) for found in operation.get("parameters", ())],
            "bodies": _bodies(operation, schema),
            "answers": [
                {"status": status, "meaning": answer.get("description", "")}
                for status, answer in sorted(operation.get("responses", {}).items())
            ],
        }
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
        if method in _METHODS
    ]


def _parameter(found: dict[str, Any]) -> dict[str, Any]:
    inner = found.get("schema", {})
    return {
        "name": found["name"],
        "place": found["in"],
        "kind": _kind(inner),
        "meaning": found.get("description", inner.get("description", "")),
        "required": found.get("required", False),
    }


def _bodies(operation: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    contents = operation.get("requestBody", {}).get("content", {})
    return [
        {"type": kind, "fields": _fields(_resolved(content.get("schema", {}), schema))}
        for kind, content in contents.items()
    ]


def _fields(model: dict[str, Any]) -> list[dict[str, Any]]:
    required = model.get("required", ())
    return [
        {
            "name": name,
            "kind": _kind(inner),
            "meaning": inner.get("description", ""),
            "required": name in required,
        }
        for name, inner in model.get("properties", {}).items()
    ]


def _resolved(model: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in model:
        return model
    found: dict[str, Any] = schema
    for part in model["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found


def _kind(inner: dict[str, Any]) -> str:
    if "enum" in inner:
        return " | ".join(str(value) for value in inner["enum"])
    if "const" in inner:
        return str(inner["const"])
    if "anyOf" in inner:
        return " | ".join(_kind(one) for one in inner["anyOf"])
    if inner.get("type") == "array":
        return f"list of {_kind(inner.get('items', {}))}" if "items" in inner else "list"
    return str(inner.get("type", inner.get("$ref", "").rsplit("/", 1)[-1] or "any"))
