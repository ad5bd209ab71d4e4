"""Events for the SDK checks, and one canonical form to compare what each side made of them."""

import base64
import datetime
import json

POSITION = {"factumtopic", "factumpartition", "factumoffset", "factumappendtime"}


def samples(tag, ascii_only=False):
    """JSON, text and binary data; extensions; Unicode and characters that headers must escape."""
    data = [
        ("application/json", {"total": 12.5, "items": ["ä", "日本"], "nested": {"null": None}}),
        ("application/json; charset=utf-8", {"quoted": 'a "quote" and \\ backslash'}),
        ("text/plain", "plain text, größe 日本"),
        ("application/octet-stream", {"base64": base64.b64encode(bytes(range(256))).decode()}),
    ]
    made = []
    for index, (content_type, content) in enumerate(data):
        made.append(
            {
                "specversion": "1.0",
                "id": f"{tag}-{index}",
                "source": "/shop" if ascii_only else "/shop/gr%C3%B6%C3%9Fe%20one",
                "type": "com.example.order.placed",
                "subject": f"order {index} \"x\"" + ("" if ascii_only else " €"),
                "time": f"2024-02-29T12:34:56.{index}78Z",
                "datacontenttype": content_type,
                "correlationid": f"process-{index}",
                "partitionkey": f"order-{index}",
                "content": content,
            }
        )
    return made


def canonical(event):
    """Attributes as text, time in milliseconds UTC, data as a JSON value or as bytes."""
    attributes = {name: str(value) for name, value in event.items() if name not in {"data", "data_base64", "content", *POSITION}}
    time = datetime.datetime.fromisoformat(attributes.pop("time").replace("Z", "+00:00"))
    attributes["time"] = round(time.timestamp() * 1000)
    return {**attributes, "data": data_of(event)}


def data_of(event):
    """JSON data as a value; other data as base64 of its bytes."""
    is_json = event.get("datacontenttype", "application/json").startswith("application/json")
    content = event.get("content")
    if isinstance(content, dict) and "base64" in content:
        return content["base64"]
    if "data_base64" in event:
        raw = base64.b64decode(event["data_base64"])
        return json.loads(raw) if is_json else event["data_base64"]
    content = event.get("data") if content is None else content
    return content if is_json else base64.b64encode(str(content).encode()).decode()
