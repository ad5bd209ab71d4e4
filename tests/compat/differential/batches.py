"""Record batches of Kafka's format, whole or broken in one place."""

import base64
import struct
import zlib

CRC32C_POLYNOMIAL = 0x82F63B78
START_MS = 1_700_000_000_000
HEADER_BYTES = 61
CODECS = {"none": 0, "gzip": 1}
TRANSACTIONAL, CONTROL, LOG_APPEND_TIME = 0x10, 0x20, 0x08


def _table():
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (CRC32C_POLYNOMIAL if byte & 1 else 0)
        yield byte


TABLE = list(_table())


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def varint(number):
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def sized(data):
    return varint(-1) if data is None else varint(len(data)) + data


def record(index, key, value, headers=(), delta_ms=None):
    body = b"\0" + varint(index if delta_ms is None else delta_ms) + varint(index) + sized(key) + sized(value)
    body += varint(len(headers)) + b"".join(sized(name) + sized(content) for name, content in headers)
    return varint(len(body)) + body


def batch(
    values,
    *,
    producer=(-1, -1, -1),
    codec="none",
    attributes=0,
    magic=2,
    start_ms=START_MS,
    base_offset=0,
    last_delta=None,
    count=None,
    length=None,
    broken_crc=False,
    keys=None,
    headers=(),
    trailing=b"",
):
    """A batch in base64; `producer` is id, epoch and first sequence. Only what a test names is wrong."""
    keys = keys or [f"key {index}".encode() for index in range(len(values))]
    body = b"".join(record(index, key, value, headers) for index, (key, value) in enumerate(zip(keys, values)))
    body = (zlib.compress(body, wbits=31) if codec == "gzip" else body) + trailing
    last = len(values) - 1 if last_delta is None else last_delta
    number = len(values) if count is None else count
    head = struct.pack(">hiqq", attributes | CODECS[codec], last, start_ms, start_ms + max(len(values) - 1, 0))
    rest = head + struct.pack(">qhii", *producer, number) + body
    crc = crc32c(rest) ^ (1 if broken_crc else 0)
    whole = HEADER_BYTES - 12 + len(body) if length is None else length
    data = struct.pack(">qiibI", base_offset, whole, -1, magic, crc) + rest
    return base64.b64encode(data).decode()


def joined(*batches):
    return base64.b64encode(b"".join(base64.b64decode(each) for each in batches)).decode()
