"""Frames that are no requests: unknown keys and versions, headers and bodies that are cut or too long."""

import base64
import struct

from . import case


def head(key, version, client=b"raw", correlation=7):
    return struct.pack(">hhih", key, version, correlation, len(client)) + client


def frame(data):
    return base64.b64encode(data).decode()


@case("ApiVersions")
def unknown_versions_of_api_versions(pair):
    for version in (6, 99, 32767, -1):
        with pair.connection(f"frame-{version}"):
            pair.ask("ApiVersions", {"unknown version": version}, 0, frame=frame(head(18, version, correlation=7) + b"\0"), correlation=7)
    # A body that is no body does not matter where the version is unknown.
    pair.ask("ApiVersions", {"junk after an unknown version": True}, 0, frame=frame(head(18, 99) + b"\xff" * 40), correlation=7)


@case("Metadata")
def frames_that_are_refused(pair):
    metadata = struct.pack(">i", 0)
    frames = {
        "unknown key": head(999, 0),
        "negative key": head(-1, 0),
        "key between brokers": head(4, 0),
        "controller's key": head(62, 0),
        "version too high": head(3, 99) + metadata,
        "version below": head(3, -1) + metadata,
        "removed version": head(0, 2),
        "empty": b"",
        "half a header": head(3, 1)[:5],
        "no body": head(3, 1),
        "array longer than the frame": head(3, 1) + struct.pack(">i", 2**31 - 1),
        "negative array": head(3, 1) + struct.pack(">i", -7),
        "string longer than the frame": head(3, 1) + struct.pack(">ih", 1, 500) + b"abc",
        "null where nothing may be null": head(3, 1) + struct.pack(">ih", 1, -1),
        "not UTF-8": head(3, 0) + struct.pack(">ih", 1, 2) + b"\xff\xfe",
        "flexible, cut": head(3, 12) + b"\0\x02",
        "varint without an end": head(3, 12) + b"\0" + b"\xff" * 20,
    }
    for what, data in frames.items():
        with pair.connection(f"frame {what}"):
            pair.ask("Metadata", {"frame": what}, 1, frame=frame(data), correlation=7)


@case("Metadata")
def frames_that_are_odd(pair):
    null_client = struct.pack(">hhih", 3, 1, 7, -1)
    frames = {
        "bytes left over": head(3, 1) + struct.pack(">i", 0) + b"left over",
        "no client id": null_client + struct.pack(">i", 0),
        "empty client id": head(3, 1, b"") + struct.pack(">i", 0),
        "a client id of Ü": head(3, 1, "Ü".encode()) + struct.pack(">i", 0),
        "a client id of no UTF-8": head(3, 1, b"\xff") + struct.pack(">i", 0),
    }
    for what, data in frames.items():
        with pair.connection(f"frame {what}"):
            pair.ask("Metadata", {"frame": what}, 1, frame=frame(data), correlation=7)


@case("Metadata")
def tags_that_nobody_knows(pair):
    tags = b"\x02\x63\x01x\x64\x00"
    body = b"\x01" + b"\0\0\0"
    for what, header, trailer in (("in the header", tags, b"\0"), ("in the body", b"\0", tags), ("twice the same", b"\x02\x63\x00\x63\x00", b"\0"), ("not in order", b"\x02\x64\x00\x63\x00", b"\0")):
        with pair.connection(f"tags {what}"):
            pair.ask("Metadata", {"tags": what}, 9, frame=frame(head(3, 9) + header + body + trailer), correlation=7)
