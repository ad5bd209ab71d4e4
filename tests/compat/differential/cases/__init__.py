"""The script: what both brokers are asked, in this order. A case names the keys that it is about."""

import base64

CASES = []
UNKNOWN_ID = "AAAAAAAAAAAAAAAAAAAAKg"
BAD_NAMES = ["", ".", "..", "a b", "a/b", "ü", "a" * 250]


def case(*keys):
    def register(function):
        function.keys = keys
        CASES.append(function)
        return function

    return register


def b64(text):
    return base64.b64encode(text.encode()).decode()


from . import cluster, framing, topics, records, fetching, configs, groups, offsets, consumer_groups, transactions, access  # noqa: E402, F401, I001
