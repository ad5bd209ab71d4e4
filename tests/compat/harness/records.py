"""The oracle: records made from a seed, and the comparison of what came back with them.

A record is `[timestamp, key, value, headers]`; bytes are base64 text, `None` is null. What a
reader delivers is `[topic, partition, offset, timestamp, key, value, headers]`.
"""

import base64
import json
import random

SEED = 20240117
KEYS = 997
WORDS = b"order placed shipped returned cancelled invoice parcel customer warehouse "


def encode(raw):
    return None if raw is None else base64.b64encode(raw).decode()


def decode(text):
    return None if text is None else base64.b64decode(text)


def header_list(rng):
    """Up to three headers: arbitrary bytes, empty, null and repeated names (side by side)."""
    headers = []
    for name in rng.sample(["trace", "Größe", "ce_x", "b"], rng.choice([0, 0, 1, 2])):
        headers.append([name, encode(rng.randbytes(rng.randrange(12)))])
        if rng.random() < 0.1:
            headers.append([name, rng.choice([None, "", encode(b"again\x00\xff")])])
    return headers


def generate(name, count, start_ms, null_values=True):
    """`count` records for the topic `name`; the timestamp says which record it is."""
    rng = random.Random(f"{SEED}:{name}")
    text = WORDS * 4
    made = []
    for index in range(count):
        key = b"key-%d-\xfe" % rng.randrange(KEYS)
        if rng.random() < 0.3:
            value = rng.randbytes(rng.randrange(200))
        else:
            cut = rng.randrange(100)
            value = text[cut : cut + 20 + rng.randrange(100)]
        if null_values and rng.random() < 0.01:
            value = None
        made.append([start_ms + index, encode(key), encode(value), header_list(rng)])
    return made


def edge_cases(start_ms):
    """Records at the edges of the format: null, empty, repeated, binary and long."""
    keys = [None, b"", b"k", bytes(range(256))]
    values = [None, b"", b"v", bytes(range(256)) * 40]
    headers = [
        [],
        [["a", ""]],
        [["a", None]],
        [["a", encode(b"1")], ["a", encode(b"2")], ["a", encode(b"1")]],
        [["a", encode(b"1")], ["b", None], ["a", encode(b"\x00\xff")]],
        [["", encode(b"a header without a name")], ["ключ", encode("значение".encode())]],
    ]
    combined = [(k, v, h) for k in keys for v in values for h in headers]
    return [[start_ms + i, encode(k), encode(v), h] for i, (k, v, h) in enumerate(combined)]


def side_by_side(headers):
    """Headers with equal names moved together, for clients that keep them in a map."""
    grouped = {}
    for name, value in headers:
        grouped.setdefault(name, []).append(value)
    return [[name, value] for name, values in grouped.items() for value in values]


def write(path, records):
    with open(path, "w", encoding="utf-8") as out:
        for record in records:
            out.write(json.dumps(record) + "\n")


class Mismatch(AssertionError):
    """What was read is not what was written."""


def compare(expected, received, positions=None, grouped_headers=False, timestamps=True):
    """Checks one topic: every record once and equal to the byte, in the order it was written.

    Returns how many records were delivered more than once (each time the same).
    """
    if not timestamps:
        return compare_without_timestamps(expected, received)
    start_ms = expected[0][0]
    by_index, redelivered, last_in_partition = {}, 0, {}
    for record in received:
        _, partition, offset, time_ms, key, value, headers = record
        index = time_ms - start_ms
        if not 0 <= index < len(expected):
            raise Mismatch(f"a record nobody wrote: {record}")
        want_time, want_key, want_value, want_headers = expected[index]
        if grouped_headers:
            want_headers, headers = side_by_side(want_headers), side_by_side(headers)
        if (key, value, headers) != (want_key, want_value, want_headers):
            raise Mismatch(f"record {index} differs: wrote {expected[index]}, read {record}")
        if positions and positions[index] != [partition, offset]:
            raise Mismatch(f"record {index} was acknowledged at {positions[index]}, read at {[partition, offset]}")
        if index in by_index:
            if by_index[index] != (partition, offset):
                raise Mismatch(f"record {index} is stored twice: {by_index[index]} and {(partition, offset)}")
            redelivered += 1
        by_index[index] = (partition, offset)
    if len(by_index) != len(expected):
        missing = [i for i in range(len(expected)) if i not in by_index]
        raise Mismatch(f"{len(missing)} of {len(expected)} records are missing, first {missing[0]}")
    for index in range(len(expected)):
        partition, offset = by_index[index]
        if offset != last_in_partition.get(partition, -1) + 1:
            raise Mismatch(f"record {index} has offset {offset} in partition {partition}, expected {last_in_partition.get(partition, -1) + 1}")
        last_in_partition[partition] = offset
    keys = {}
    for index, (_, key, _, _) in enumerate(expected):
        if key and keys.setdefault(key, by_index[index][0]) != by_index[index][0]:
            raise Mismatch(f"key {key} is in partitions {keys[key]} and {by_index[index][0]}")
    return redelivered


def compare_without_timestamps(expected, received):
    """The same for a producer that cannot set timestamps (kcat): order per key is the identity."""
    unique, redelivered = {}, 0
    for _, partition, offset, _, key, value, headers in received:
        seen = unique.setdefault((partition, offset), (key, value, headers))
        if seen != (key, value, headers):
            raise Mismatch(f"offset {offset} of partition {partition} was read with two contents")
    redelivered = len(received) - len(unique)
    read, wrote = {}, {}
    for (partition, _), (key, value, headers) in sorted(unique.items(), key=lambda item: item[0]):
        read.setdefault(key, []).append((value, headers))
    for _, key, value, headers in expected:
        wrote.setdefault(key, []).append((value, headers))
    keyless_read, keyless_wrote = (sorted(map(repr, side.pop(None, []))) for side in (read, wrote))
    if keyless_read != keyless_wrote:
        raise Mismatch("records without a key differ")
    for key in wrote.keys() | read.keys():
        if wrote.get(key) != read.get(key):
            raise Mismatch(f"key {key}: wrote {wrote.get(key)}, read {read.get(key)}"[:600])
    for partition in {p for p, _ in unique}:
        offsets = sorted(o for p, o in unique if p == partition)
        if offsets != list(range(len(offsets))):
            raise Mismatch(f"offsets of partition {partition} are not contiguous")
    return redelivered
