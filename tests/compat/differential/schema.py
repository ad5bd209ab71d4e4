"""The messages of the protocol, as kafka-clients describes them in the jar: fields, versions, defaults.

A test names the few fields that it is about; `complete` adds the others, with their defaults.
"""

import json
import re
import zipfile

LAST = 32767
ZERO_UUID = "AAAAAAAAAAAAAAAAAAAAAA"
NUMBERS = ("int8", "int16", "uint16", "int32", "uint32", "int64", "float64")


def span(text):
    """`3`, `2-7`, `4+` and `none` as the first and the last version."""
    if not text or text == "none":
        return (1, 0)
    if text.endswith("+"):
        return (int(text[:-1]), LAST)
    first, _, last = text.partition("-")
    return (int(first), int(last or first))


def within(version, bounds):
    return bounds[0] <= version <= bounds[1]


class Field:
    def __init__(self, spec, structs):
        self.name = spec["name"][0].lower() + spec["name"][1:]
        self.versions = span(spec["versions"])
        self.nullable = span(spec.get("nullableVersions"))
        self.is_array = spec["type"].startswith("[]")
        self.type = spec["type"].removeprefix("[]")
        self.entity = spec.get("entityType")
        self.default = spec.get("default")
        inner = spec.get("fields") or structs.get(self.type)
        self.fields = inner and [Field(field, structs) for field in inner]

    def fresh(self, version):
        """The value of a field that a test does not name."""
        if self.default == "null":
            return None
        if self.is_array:
            return []
        if self.fields:
            return complete(self.fields, version, {})
        if self.type == "bool":
            return str(self.default).lower() == "true"
        if self.type in NUMBERS:
            return int(str(self.default or 0), 0)
        if self.type == "uuid":
            return ZERO_UUID
        return self.default or ""

    def filled(self, version, value):
        """A value that a test names, completed within."""
        if value is None:
            return None if within(version, self.nullable) else self.fresh(version)
        if self.fields and self.is_array:
            return [complete(self.fields, version, each) for each in value]
        return complete(self.fields, version, value) if self.fields else value


def complete(fields, version, given):
    here = [field for field in fields if within(version, field.versions)]
    return {field.name: field.filled(version, given[field.name]) if field.name in given else field.fresh(version) for field in here}


class Message:
    def __init__(self, spec):
        structs = {struct["name"]: struct["fields"] for struct in spec.get("commonStructs", [])}
        self.fields = [Field(field, structs) for field in spec["fields"]]
        self.versions = span(spec["validVersions"])

    def complete(self, version, given):
        return complete(self.fields, version, given)


class Schema:
    """Every request and answer by the name of its API."""

    def __init__(self, jar):
        self.requests, self.answers, self.keys = {}, {}, {}
        with zipfile.ZipFile(jar) as files:
            for name in files.namelist():
                if re.fullmatch(r"common/message/\w+(Request|Response)\.json", name):
                    self._add(json.loads(re.sub(r"^\s*//.*$", "", files.read(name).decode(), flags=re.M)))
        self.names = {key: name for name, key in self.keys.items()}

    def _add(self, spec):
        name = spec["name"].removesuffix("Request").removesuffix("Response")
        side = self.requests if spec["type"] == "request" else self.answers
        if spec["validVersions"] != "none":
            side[name], self.keys[name] = Message(spec), spec["apiKey"]
