"""Holds one exchange against a provider's OpenAPI file: which operation it is, and all in which it departs from it.

Decides where a value of the wire belongs in the file (path, query in deepObject style, form, body, status, answer); what
is valid there the library `jsonschema_rs` decides. Must never pass over what the file does not declare.
"""
import dataclasses
import re

import jsonschema_rs

import official

# Ids look alike in Graph's paths, so its file has several templates for `/{Version}/{id}`. The sandbox knows whose id it is.
WHOSE = {
    "meta.get_number": "{Phone-Number-ID}",
    "meta.update_number": "{Phone-Number-ID}",
    "meta.get_waba": "{WABA-ID}",
    "meta.get_business": "{Business-ID}",
}
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


@dataclasses.dataclass(frozen=True)
class Violation:
    operation: str  # `telnyx POST /number_orders`
    direction: str  # `request` or `answer`
    place: str  # JSON pointer: `/query/filter/tag`, `/body/phone_numbers/0`, `/answer/data/status`, `/status`, `/path`
    keyword: str  # of JSON Schema, or `undeclared`, `missing`
    value: str  # the value, or the name of the field, in JSON
    message: str = dataclasses.field(compare=False)
    origin: str = dataclasses.field(compare=False, default="")

    def __str__(self):
        return f"{self.operation}: {self.direction} {self.place}: {self.message} [{self.keyword} {self.value}] ({self.origin})"


class Judge:
    """Both files, read once; one compiled validator for each place of them that is used."""

    def __init__(self):
        self.readings, self.routes, self.validators, self.judged = {}, {}, {}, {}
        resources = []
        for provider in official.FILES:
            published = official.load(provider)
            for direction in ("request", "answer"):
                reading = official.Reading(provider, direction, published)
                self.readings[provider, direction] = reading
                self.routes[provider, direction] = list(reading.operations())
                resources.append((reading.uri, reading.document))
        self.registry = jsonschema_rs.Registry(resources)

    def operation(self, exchange, direction):
        """(name, operation) of the file; the operation is None for a path or method that the file does not have."""
        path = exchange.path
        if exchange.provider == "telnyx" and path.startswith("/v2/"):
            # The file's server ends in /v2. Its WhatsApp paths bring a /v2 of their own.
            path = path.removeprefix("/v2")
        path = path.rstrip("/") or "/"
        parts = path.split("/")
        found = []
        for method, template, patterns, operation in self.routes[exchange.provider, direction]:
            if method == exchange.method and len(patterns) == len(parts) and (exchange.provider != "meta" or ids(template, parts)):
                if all(pattern.fullmatch(part) for pattern, part in zip(patterns, parts)):
                    found.append((template, operation))
        name = f"{exchange.provider} {exchange.method}"
        if not found:
            return f"{name} {without_ids(path)}", None
        wanted = WHOSE.get(exchange.operation)
        # Fewer placeholders win, as OpenAPI says; then whose id it is.
        found.sort(key=lambda one: (one[0].count("{"), bool(wanted) and wanted not in one[0]))
        return f"{name} {found[0][0]}", found[0][1]

    def judge(self, exchange):
        """(name of the operation, all violations of both directions)."""
        shape = exchange.shape()
        if shape not in self.judged:
            self.judged[shape] = self._judge(exchange)
        return self.judged[shape]

    def _judge(self, exchange):
        name, operation = self.operation(exchange, "request")
        out = []

        def say(direction, place, keyword, value, message):
            out.append(Violation(name, direction, place, keyword, value, message, exchange.origin))

        if operation is None:
            path = name.split(" ", 2)[2]
            say("request", "/path", "undeclared", f'"{path}"', f"the file has no such path with this method: {exchange.path}")
            return name, out
        self._request(exchange, operation, say)
        if exchange.status is not None:
            self._answer(exchange, self.operation(exchange, "answer")[1], say)
        return name, out

    def _request(self, exchange, operation, say):
        reading = self.readings[exchange.provider, "request"]
        security = operation.get("security", reading.document.get("security") or [])
        if security and {} not in security and not exchange.headers.get("authorization", "").startswith("Bearer "):
            say("request", "/headers/authorization", "missing", '"authorization"', "the bearer token is missing")
        query = parse(exchange.query)
        for parameter in operation["parameters"]:
            where, key = parameter["in"], parameter["name"]
            schema = parameter.get("schema", {})
            if where == "query":
                if key in exchange.query and "[" in key:  # declared with its brackets
                    value = exchange.query[key]
                    query = parse({k: v for k, v in exchange.query.items() if k != key})
                elif key in query:
                    value = query.pop(key)
                else:
                    if parameter.get("required"):
                        say("request", f"/query/{key}", "missing", f'"{key}"', "a required parameter is missing")
                    continue
                self._check(reading, schema, cast(reading, schema, value), "request", f"/query/{key}", say)
            elif where == "path":
                value = self._placeholder(exchange, operation, key, reading)
                if value is not None:
                    self._check(reading, schema, cast(reading, schema, value), "request", f"/path/{key}", say)
            elif where == "header" and key.lower() in exchange.headers and key.lower() != "authorization":
                value = exchange.headers[key.lower()]
                if key.lower() != "content-type":
                    self._check(reading, schema, cast(reading, schema, value), "request", f"/headers/{key}", say)
        for key, value in query.items():
            say("request", f"/query/{key}", "undeclared", f'"{key}"', f"the file has no query parameter `{key}` here")
        self._body(exchange, reading, operation, say)

    def _placeholder(self, exchange, operation, key, reading):
        for method, template, _, known in self.routes[exchange.provider, "request"]:
            if known is operation or (method == exchange.method and known == operation):
                path = exchange.path.removeprefix("/v2") if exchange.provider == "telnyx" else exchange.path
                for part, value in zip(template.split("/"), path.split("/")):
                    if part == "{" + key + "}":
                        return value
        return None

    def _body(self, exchange, reading, operation, say):
        declared = reading.follow(operation.get("requestBody"))
        kind = base(exchange.headers.get("content-type", ""))
        if exchange.body is None:
            if declared and declared.get("required"):
                say("request", "/body", "missing", "null", "the required body is missing")
            return
        if not declared:
            if exchange.body != {}:
                say("request", "/body", "undeclared", '"body"', "the file has no body here")
            return
        media = declared["content"].get(kind)
        if media is None:
            known = ", ".join(declared["content"])
            say("request", "/headers/content-type", "undeclared", f'"{kind}"', f"`{kind}` is not one of: {known}")
            return
        schema = media.get("schema", {})
        value = cast(reading, schema, exchange.body) if kind in FORMS else exchange.body
        self._check(reading, schema, value, "request", "/body", say)

    def _answer(self, exchange, operation, say):
        reading = self.readings[exchange.provider, "answer"]
        responses = operation["responses"]
        status = str(exchange.status)
        declared = responses.get(status) or responses.get(f"{status[0]}XX") or responses.get("default")
        if declared is None:
            say("answer", "/status", "undeclared", status, f"status {status} is not one of: {', '.join(responses)}")
            return
        declared = reading.follow(declared)
        for name, header in declared.get("headers", {}).items():
            header = reading.follow(header)
            if name.lower() in exchange.response_headers and name.lower() != "content-type":
                schema = header.get("schema", {})
                value = cast(reading, schema, exchange.response_headers[name.lower()])
                self._check(reading, schema, value, "answer", f"/{status}/headers/{name}", say)
        content = declared.get("content")
        if exchange.response is None:
            if content:
                say("answer", f"/{status}/body", "missing", "null", "the answer has no body")
            return
        if not content:
            say("answer", f"/{status}/body", "undeclared", '"body"', "the file has no body for this status")
            return
        kind = base(exchange.response_headers.get("content-type", ""))
        media = content.get(kind) or content.get("*/*")
        if media is None:
            say("answer", f"/{status}/headers/content-type", "undeclared", f'"{kind}"', f"`{kind}` is not one of: {', '.join(content)}")
            return
        if kind != "application/json" and set(exchange.response) == {"content_type", "bytes"}:
            return  # audio and the like, of which only the length is written down
        self._check(reading, media.get("schema", {}), exchange.response, "answer", f"/{status}/body", say)

    def _check(self, reading, schema, value, direction, place, say):
        key = (reading.uri, id(schema))
        validator = self.validators.get(key)
        if validator is None:
            validator = jsonschema_rs.Draft202012Validator(
                schema, registry=self.registry, validate_formats=True, formats=FORMATS, base_uri=reading.uri + "/used",
            )
            self.validators[key] = validator
        errors = list(validator.iter_errors(value))
        # Where no branch of a choice fits, no field is evaluated: that the fields are then undeclared says nothing more.
        choices = [list(error.instance_path) for error in errors if error.kind.name in ("anyOf", "oneOf")]
        for error in errors:
            if error.kind.name == "unevaluatedProperties" and list(error.instance_path) in choices:
                continue
            for at, keyword, wrong, message in causes(error):
                say(direction, place + "".join(f"/{step}" for step in at), keyword, wrong, message)


def causes(error, depth=0):
    """(place, keyword, value, message) of an error; of a failed choice, what the nearest branch lacks."""
    kind = error.kind
    keyword = kind.name
    at = list(error.instance_path)
    if keyword in ("anyOf", "oneOf") and depth < 5 and (branches := getattr(kind, "context", None)):
        # The branch that is departed from the least, and there the deepest.
        nearest = min(branches, key=lambda errors: (len(errors), -max((len(e.instance_path) for e in errors), default=0)))
        if nearest:
            for one in nearest:
                yield from causes(one, depth + 1)
            return
    if keyword in ("anyOf", "oneOf"):
        yield at, keyword, "more than one", "several schemas fit where one must"
        return
    if keyword in ("unevaluatedProperties", "additionalProperties"):
        for name in kind.unexpected:
            yield at + [name], "undeclared", f'"{name}"', f"the file has no field `{name}` here"
        return
    if keyword == "required":
        yield at, "required", kind.property if isinstance(kind.property, str) else str(kind.property), error.message
        return
    yield at, keyword, str(error.instance)[:80], error.message[:300]


# Formats that the files use and JSON Schema does not know, or that the library reads in another way.
FORMATS = {
    "url": lambda text: re.fullmatch(r"https?://\S+", text) is not None,
}


def without_ids(path):
    """A path that the file does not have, written as one that it has: `/{Version}/{id}/uploads`."""
    parts = ["{Version}" if re.fullmatch(r"v[0-9]+\.[0-9]+", part) else re.sub("[0-9a-f-]{8,}|[0-9]{2,}", "{id}", part) for part in path.split("/")]
    return "/".join(parts)


def ids(template, parts):
    """Graph's ids are numbers: `debug_token` is none, although the template `/{Version}/{Business-ID}` would take it."""
    pairs = zip(template.split("/"), parts)
    return all(part.isdecimal() for name, part in pairs if name.startswith("{") and name != "{Version}")


def base(content_type):
    return content_type.split(";")[0].strip().lower()


def parse(query):
    """`filter[a][gte]=x` as {"filter": {"a": {"gte": "x"}}}; `filter[a][]=x` as a list."""
    out = {}
    for key, value in query.items():
        head, *rest = re.findall(r"[^\[\]]+|(?<=\[)(?=\])", key) or [key]
        if not rest:
            out[head] = value
            continue
        node = out.setdefault(head, {})
        for step in rest[:-1]:
            node = node.setdefault(step, {}) if isinstance(node, dict) else {}
        last = rest[-1]
        if last == "":
            # The list belongs to the name before.
            parent = out.setdefault(head, {})
            for step in rest[:-2]:
                parent = parent[step]
            parent[rest[-2] if len(rest) > 1 else head] = value if isinstance(value, list) else [value]
        elif isinstance(node, dict):
            node[last] = value
    return out


def cast(reading, schema, value):
    """Text of a query or form as the type that its schema asks for, where the text has that form."""
    if isinstance(value, dict):
        return {key: cast(reading, reading.member(schema, key), one) for key, one in value.items()}
    types = reading.types(schema)
    if isinstance(value, list):
        return [cast(reading, reading.items(schema), one) for one in value]
    if not isinstance(value, str) or "string" in types:
        return value
    if "array" in types:
        return [cast(reading, reading.items(schema), one) for one in value.split(",")]
    if "integer" in types and re.fullmatch(r"-?[0-9]+", value):
        return int(value)
    if "number" in types and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value):
        return float(value)
    if "boolean" in types and value in ("true", "false"):
        return value == "true"
    return value
