"""The server's interface as OpenAPI 3.1; schemas of responses are derived from their dataclasses."""

from dataclasses import fields, is_dataclass
from importlib.metadata import version
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from ulmfit.config import ServeConfig
from ulmfit.deploy.messages import CHARACTERS, OCCLUDED, Question
from ulmfit.insight.explain import Explanation
from ulmfit.outputs import Outputs

PLAIN = {str: "string", float: "number", int: "integer", bool: "boolean", NoneType: "null"}
REFUSALS = {
    "400": "The body is not JSON in UTF-8",
    "401": "The token is missing or wrong",
    "408": "The request did not arrive in time",
    "413": "The body is too large",
    "415": "The body is not declared as application/json",
    "422": "The JSON is not what was expected, a text is blank or too long, or there is no explanation",
    "503": "Too many requests are waiting; Retry-After says when to try again",
    "504": "The answer took too long",
}


def schema(kind: Any) -> dict[str, Any]:
    """The JSON schema of a type; of a dataclass, as `asdict` and JSON write it."""
    if kind in PLAIN:
        return {"type": PLAIN[kind]}
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        names = [field.name for field in fields(kind)]
        return {
            "type": "object",
            "properties": {name: schema(hints[name]) for name in names},
            "required": names,
            "additionalProperties": False,
        }
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return {"enum": list(inner)}
    if origin is UnionType:
        return {"anyOf": [schema(part) for part in inner]}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema(inner[1])}
    if origin in (tuple, list) and (origin is list or inner[1:] == (...,)):
        return {"type": "array", "items": schema(inner[0])}
    raise TypeError(f"no JSON schema for {kind}")


def describe(outputs: Outputs, limits: ServeConfig, *, token: bool) -> dict[str, Any]:
    """The OpenAPI document of a server for a classifier with these outputs."""
    prediction = type(outputs.predictions(np.zeros((1, outputs.size), np.float32))[0])
    text = {"type": "string", "maxLength": limits.max_words * CHARACTERS}
    texts = {"type": "array", "items": text, "minItems": 1, "maxItems": limits.max_queue}
    one, schemas = {"$ref": "#/components/schemas/Prediction"}, {
        "Prediction": schema(prediction),
        "Explanation": schema(Explanation),
        "Error": _object(error=_object(status=schema(int), message=schema(str))),
    }  # fmt: skip
    asked = schema(Question)
    asked |= {"properties": asked["properties"] | {"text": text}, "required": ["text"]}
    predict = _operation(
        "Label one text, or several in order",
        {"oneOf": [_object(text=text), _object(texts=texts)]},
        {"oneOf": [one, _object(predictions={"type": "array", "items": one})]},
    )
    explain = _operation(
        f"Weigh the words of a text; without a method: occlusion up to {OCCLUDED} words, else gradient",
        asked,
        {"$ref": "#/components/schemas/Explanation"},
    )
    health = _object(status=schema(str), model=schema(str), predicts=schema(str))
    page, counts, itself = ({"type": kind} for kind in ("string", "string", "object"))
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "ulmfit", "version": version("ulmfit"), "description": str(outputs)},
        "paths": {
            "/": {"get": _answer("The page", "text/html", page)},
            "/health": {"get": _answer("Whether the server works", "application/json", health)},
            "/metrics": {"get": _answer("Counters, for Prometheus", "text/plain", counts)},
            "/openapi.json": {"get": _answer("This description", "application/json", itself)},
            "/predict": {"post": predict},
            "/explain": {"post": explain},
        },
        "components": {"schemas": schemas},
    }
    if token:
        described["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path in described["paths"].keys() - OPEN:
            for operation in described["paths"][path].values():
                operation["security"] = [{"token": []}]
    return described


OPEN = {"/", "/health", "/openapi.json"}  # need no token: they reveal nothing about texts


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _answer(summary: str, media: str, content: dict[str, Any]) -> dict[str, Any]:
    ok = {"description": "OK", "content": {media: {"schema": content}}}
    return {"summary": summary, "responses": {"200": ok}}


def _operation(summary: str, request: dict[str, Any], response: dict[str, Any]) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    operation = _answer(summary, "application/json", response)
    operation["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": request}},
    }
    for status, why in REFUSALS.items():
        operation["responses"][status] = {"description": why, "content": error}
    return operation
