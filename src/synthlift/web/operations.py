"""Operations of the API: declared once, then both routes and their OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from apispec import APISpec
from flask import Blueprint, Response, abort, jsonify, request
from pydantic import BaseModel, ValidationError
from pydantic.json_schema import models_json_schema

from synthlift import __version__
from synthlift.errors import InputError
from synthlift.web.security import CLIENT_HEADER

NAME = "api"
"""Of the blueprint."""
MOST_JSON_BYTES = 1024**2
View = Callable[..., BaseModel | Response]
Asked = TypeVar("Asked", bound=BaseModel)


class Problem(BaseModel):
    """What is wrong.

    Attributes:
        given: what was given, or what happened.
        rule: the rule that it breaks; may be empty.
        remedy: what to do now.
    """

    given: str
    rule: str
    remedy: str


class Failure(BaseModel):
    """The body of every error."""

    error: Problem


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    Attributes:
        method, rule: with Flask's ``<name>`` for parameters.
        view: called with the parameters, and ``body`` where there is one.
        summary: one line.
        body: of a JSON request.
        form: JSON schema of a multipart request.
        answer: of a JSON response; a media type for others.
        status: of success.
        costly: whether it computes something, so that fewer are allowed.
        query: parameters of the query, name to meaning; whole numbers.
        words: the same, of text.
    """

    method: str
    rule: str
    view: View
    summary: str
    body: type[BaseModel] | None = None
    form: Mapping[str, Any] | None = None
    answer: type[BaseModel] | str = "application/json"
    status: int = 200
    costly: bool = False
    query: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)


def blueprint(operations: list[Operation]) -> Blueprint:
    """All operations as routes below ``/api/v1``."""
    made = Blueprint(NAME, __name__, url_prefix="/api/v1")
    document = openapi(operations)
    for one in operations:
        made.add_url_rule(
            one.rule, endpoint=one.view.__name__, view_func=_route(one), methods=[one.method]
        )
    made.add_url_rule("/openapi.json", endpoint="openapi", view_func=lambda: jsonify(document))
    return made


def costly(operations: list[Operation]) -> frozenset[str]:
    """End points of operations that compute something."""
    return frozenset(f"{NAME}.{one.view.__name__}" for one in operations if one.costly)


def _route(one: Operation) -> Callable[..., Response]:
    def view(**parameters: str) -> Response:
        if one.body is not None:
            answer = one.view(body=_read(one.body), **parameters)
        else:
            answer = one.view(**parameters)
        if isinstance(answer, Response):
            return answer
        # Pydantic writes JSON itself: of a small answer, taking it apart first costs most.
        return Response(answer.model_dump_json(), one.status, mimetype="application/json")

    view.__name__ = one.view.__name__
    return view


def _read(model: type[Asked]) -> Asked:
    if (request.content_length or 0) > MOST_JSON_BYTES:
        abort(413)
    try:
        content = request.get_json(silent=True)
    except RecursionError:  # thousands of brackets
        content = None
    return checked(model, content)


def checked(model: type[Asked], content: object) -> Asked:
    """What a request says, checked.

    Raises:
        InputError: it is no JSON object, or breaks the schema.
    """
    if not isinstance(content, dict):
        raise InputError(
            "the body of the request is no JSON object",
            rule="it is one, sent as application/json",
            remedy="see /api/v1/openapi.json",
        )
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the request"
        raise InputError(
            f"{place}: {first['msg'][:200]}",
            rule="each value has its type and range",
            remedy="correct it and try again; /api/v1/openapi.json says what is allowed",
        ) from None


# ── the document ──────────────────────────────────────────────────────────────────────────────


def openapi(operations: list[Operation]) -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    document = APISpec(
        title="Synthlift",
        version=__version__,
        openapi_version="3.1.0",
        info={"description": "What the pages of `synthlift serve` use."},
        security=[{"token": []}, {"client": []}],
    )
    document.components.security_scheme("token", {"type": "http", "scheme": "bearer"})
    document.components.security_scheme(
        "client", {"type": "apiKey", "in": "header", "name": CLIENT_HEADER}
    )
    for name, schema in _schemas(operations).items():
        document.components.schema(name, schema)
    for one in operations:
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", one.rule)
        described = {one.method.lower(): _described(one)}
        document.path(path=f"/api/v1{path}", operations=described)
    content: dict[str, Any] = document.to_dict()
    return content


def _schemas(operations: list[Operation]) -> dict[str, Any]:
    inputs = {one.body for one in operations if one.body is not None}
    outputs = {one.answer for one in operations if not isinstance(one.answer, str)} | {Failure}
    _, found = models_json_schema(
        [
            *((model, "validation") for model in sorted(inputs, key=lambda m: m.__name__)),
            *((model, "serialization") for model in sorted(outputs, key=lambda m: m.__name__)),
        ],
        ref_template="#/components/schemas/{model}",
    )
    schemas: dict[str, Any] = found["$defs"]
    return schemas


def _described(one: Operation) -> dict[str, Any]:
    names = re.findall(r"<(?:\w+:)?(\w+)>", one.rule)
    whole = re.findall(r"<int:(\w+)>", one.rule)
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "integer" if name in whole else "string"},
        }
        for name in names
    ]
    parameters += [
        {"name": name, "in": "query", "description": meaning, "schema": {"type": kind}}
        for kind, named in (("integer", one.query), ("string", one.words))
        for name, meaning in named.items()
    ]
    media, schema = (
        (one.answer, {"type": "string", "format": "binary"})
        if isinstance(one.answer, str)
        else ("application/json", reference(one.answer))
    )
    failure = {
        "description": "What is wrong, and what to do.",
        "content": {"application/json": {"schema": reference(Failure)}},
    }
    described: dict[str, Any] = {
        "operationId": one.view.__name__,
        "summary": one.summary,
        "parameters": parameters,
        "responses": {
            str(one.status): {"description": "Done.", "content": {media: {"schema": schema}}},
            "default": failure,
        },
    }
    if one.body is not None:
        content = {"application/json": {"schema": reference(one.body)}}
        described["requestBody"] = {"required": True, "content": content}
    if one.form is not None:
        form = {"type": "object", "properties": dict(one.form)}
        described["requestBody"] = {
            "required": True,
            "content": {"multipart/form-data": {"schema": form}},
        }
    return described


def reference(model: type[BaseModel]) -> dict[str, str]:
    """Where the document says what a body looks like."""
    return {"$ref": f"#/components/schemas/{model.__name__}"}
