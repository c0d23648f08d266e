"""The providers' own OpenAPI files, as two readings of each: what a request may be, and what an answer may be.

Decides how an OpenAPI 3.1 file becomes JSON Schema that a library can judge by. Must never change what a file says but
for the four rules in docs/contract.md: a field that is `readOnly` is no part of a request, a `writeOnly` one no part of
an answer, `nullable: true` (left over from OpenAPI 3.0) admits null, and what is declared nowhere is not admitted.
"""
import hashlib
import json
import lzma
import os
import pathlib
import re

import yaml

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("CLIENTNUMBER_CACHE") or pathlib.Path.home() / ".cache" / "clientnumber") / "contract"
FILES = {
    "telnyx": ("telnyx-v2.yml.xz", "020dcdb3d9da1ecfd401ed4ecdc597fef9e2bf7c0141e02c1cc7b9a0fb1e553d"),
    "meta": ("meta-business-messaging-v23.yaml.xz", "c7148d5e2aeff32f2effc3d3557795d7eddd07abf8b017c9e40e86bb3312c116"),
}
METHODS = ("get", "put", "post", "delete", "patch")
# Says nothing about what is valid.
TALK = {"description", "example", "examples", "title", "default", "xml", "externalDocs", "discriminator", "nullable"}


def load(provider):
    """The file as published; parsed once for each version of it, since YAML of this size takes seconds."""
    name, digest = FILES[provider]
    raw = lzma.decompress((HERE / "specs" / name).read_bytes())
    found = hashlib.sha256(raw).hexdigest()
    if found != digest:
        raise SystemExit(f"tests/contract/specs/{name} is not the published file: its sha256 is {found}, not {digest}")
    parsed = CACHE / f"{digest}.json"
    try:
        return json.loads(parsed.read_text())
    except (OSError, ValueError):
        pass
    document = json.loads(json.dumps(yaml.load(raw, Loader=yaml.CSafeLoader), default=str))
    CACHE.mkdir(parents=True, exist_ok=True)
    part = parsed.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(document))
    part.replace(parsed)
    return document


def follow(document, node):
    """What a reference leads to."""
    seen = 0
    while isinstance(node, dict) and "$ref" in node and seen < 50:
        target = document
        for part in node["$ref"].split("#", 1)[1].lstrip("/").split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        node, seen = target, seen + 1
    return node


class Reading:
    """One file read for one direction: `request` or `answer`."""

    def __init__(self, provider, direction, published):
        self.published, self.direction = published, direction
        self.uri = f"https://contract.invalid/{provider}/{direction}"
        self.document = self._outside(published)

    def _outside(self, node):
        """Everything of the file that is not a schema."""
        if isinstance(node, list):
            return [self._outside(item) for item in node]
        if not isinstance(node, dict):
            return node
        out = {}
        for key, value in node.items():
            if key == "schema":
                out[key] = self.schema(value, closed=True)
            elif key == "schemas" and node is self.published.get("components"):
                out[key] = {name: self.schema(one, closed=False) for name, one in value.items()}
            elif key not in ("example", "examples"):
                out[key] = self._outside(value)
        return out

    def schema(self, node, closed):
        """A schema; `closed` where it stands for a whole value, so that undeclared fields can be told."""
        if not isinstance(node, dict):
            return node
        out = {key: value for key, value in node.items() if key not in TALK}
        hidden = "readOnly" if self.direction == "request" else "writeOnly"
        if isinstance(node.get("properties"), dict):
            properties = {name: one for name, one in node["properties"].items() if not self._is(one, hidden)}
            out["properties"] = {name: self.schema(one, closed=True) for name, one in properties.items()}
            if isinstance(node.get("required"), list):
                gone = set(node["properties"]) - set(properties)
                out["required"] = [name for name in node["required"] if name not in gone]
        for key in ("items", "additionalProperties", "unevaluatedProperties"):
            if isinstance(node.get(key), dict):
                out[key] = self.schema(node[key], closed=True)
        for key in ("allOf", "anyOf", "oneOf"):
            if key in node:
                out[key] = [self.schema(one, closed=False) for one in node[key]]
        if "not" in node:
            out["not"] = self.schema(node["not"], closed=False)
        if "$ref" in out:
            out["$ref"] = f"{self.uri}{out['$ref']}"
        if closed and "additionalProperties" not in node and self._declares(node):
            out["unevaluatedProperties"] = False
        if node.get("nullable") is True:
            out = {"anyOf": [out, {"type": "null"}]}
        return out

    def _is(self, node, flag):
        return isinstance(node, dict) and follow(self.published, node).get(flag) is True

    def _declares(self, node, depth=0):
        """Whether it names fields, and admits no free-form object beside them."""
        node = follow(self.published, node)
        if not isinstance(node, dict) or depth > 20:
            return False
        parts = [part for key in ("allOf", "anyOf", "oneOf") for part in node.get(key, [])]
        free = [p for p in (follow(self.published, part) for part in parts) if self._free(p)]
        return not free and (bool(node.get("properties")) or any(self._declares(part, depth + 1) for part in parts))

    @staticmethod
    def _free(node):
        words = ("properties", "allOf", "anyOf", "oneOf", "required", "not")
        return isinstance(node, dict) and node.get("type") == "object" and not any(word in node for word in words)

    # What the walk over a request needs to know of a schema before the library judges.
    def types(self, schema, depth=0):
        """The types that a schema admits."""
        schema = self.follow(schema)
        if not isinstance(schema, dict) or depth > 20:
            return set()
        kinds = schema.get("type", [])
        found = {kinds} if isinstance(kinds, str) else set(kinds)
        for key in ("allOf", "anyOf", "oneOf"):
            for part in schema.get(key, []):
                found |= self.types(part, depth + 1)
        return found

    def member(self, schema, name, depth=0):
        """The schema of a field, or {}."""
        schema = self.follow(schema)
        if not isinstance(schema, dict) or depth > 20:
            return {}
        if name in schema.get("properties", {}):
            return schema["properties"][name]
        for key in ("allOf", "anyOf", "oneOf"):
            for part in schema.get(key, []):
                if found := self.member(part, name, depth + 1):
                    return found
        return {}

    def items(self, schema, depth=0):
        """The schema of a list's items, or {}."""
        schema = self.follow(schema)
        if not isinstance(schema, dict) or depth > 20:
            return {}
        if "items" in schema:
            return schema["items"]
        for key in ("allOf", "anyOf", "oneOf"):
            for part in schema.get(key, []):
                if found := self.items(part, depth + 1):
                    return found
        return {}

    def follow(self, node):
        """What a reference leads to, in this reading."""
        return follow(self.document, node)

    def operations(self):
        """(method, path template, its parts as patterns, operation with the path's own parameters)."""
        for template, item in self.document["paths"].items():
            parts = [re.compile(re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(part))) for part in template.split("/")]
            for method in METHODS:
                if method in item:
                    operation = dict(item[method])
                    parameters = [self.follow(p) for p in [*item.get("parameters", []), *operation.get("parameters", [])]]
                    operation["parameters"] = list({(p["in"], p["name"]): p for p in parameters}.values())
                    yield method.upper(), template, parts, operation
