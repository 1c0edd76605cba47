"""The OpenAPI 3.1 document of the API, generated from its operations and values."""

from __future__ import annotations

import functools
import re
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

import antispam
from antispam.web import api_values as values
from antispam.web.api import OPERATIONS
from antispam.web.api_operations import Operation

_PROBLEMS = {
    "400": "The body is no JSON",
    "401": "There is no valid token",
    "403": "The account may not do that",
    "404": "There is nothing of that name that the account may see",
    "405": "There is no such method",
    "413": "The body is too large",
    "415": "The body is no application/json",
    "422": "A parameter or the body does not fit",
    "429": "Too many within the hour",
    "503": "The database does not answer",
}


@functools.cache
def document() -> bytes:
    """The document as JSON."""
    kinds: set[type] = {values.Problem}
    for one in OPERATIONS:
        kinds |= {kind for kind in (one.gives, one.query, one.body) if kind is not None}
    listed = sorted(kinds, key=lambda kind: kind.__name__)
    schemas, components = msgspec.json.schema_components(listed, ref_template="#/components/schemas/{name}")
    by_kind = dict(zip(listed, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, by_kind, components)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": "bms", "version": antispam.__version__, "description": "The console, for programs."},
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            },
            "security": [{"token": []}],
        }
    )


def _operation(one: Operation, by_kind: dict[type, Any], components: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "summary": one.summary,
        "description": f"For accounts of the role {one.role} and above.",
        "operationId": re.sub(r"\W+", "_", f"{one.method.lower()}{one.path}").strip("_"),
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[0-9a-z]{1,16}$"}}
            for name in re.findall(r"\{(\w+)\}", one.path)
        ],
        "responses": {
            "200": {"description": "Done", "content": {"application/json": {"schema": by_kind[one.gives]}}},
            **{
                status: {"description": text, "content": {"application/json": {"schema": by_kind[values.Problem]}}}
                for status, text in _PROBLEMS.items()
            },
        },
    }
    if one.query is not None:
        properties = components[one.query.__name__]["properties"]
        said["parameters"] += [
            {"name": name, "in": "query", "required": False, "schema": schema} for name, schema in properties.items()
        ]
    if one.body is not None:
        said["requestBody"] = {"required": True, "content": {"application/json": {"schema": by_kind[one.body]}}}
    return said


async def openapi(request: Request) -> Response:
    """Answer with the document. Anybody may read it: it has no facts about this site."""
    return Response(document(), media_type="application/json")
