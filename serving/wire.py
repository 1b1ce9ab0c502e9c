"""The protocol-buffer wire format, as little of it as signatures and warm-up requests need.

TensorFlow's generated message classes come with `import tensorflow`, which the stock check must do without.
See https://protobuf.dev/programming-guides/encoding/.
"""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def read_message(data: bytes) -> dict[int, list[int | bytes]]:
    """The fields of one message: field number -> its values in order.

    Varints and fixed-width values come as unsigned integers (`signed` turns the former into an int64),
    strings, bytes and messages as bytes.

    Raises:
        ValueError: the bytes end within a field, or use the old group encoding.
    """
    fields: dict[int, list[int | bytes]] = {}
    position = 0
    while position < len(data):
        tag, position = _read_varint(data, position)
        kind, value = tag & 7, None
        if kind == VARINT:
            value, position = _read_varint(data, position)
        elif kind in (FIXED64, FIXED32):
            raw, position = _take(data, position, 8 if kind == FIXED64 else 4)
            value = int.from_bytes(raw, "little")
        elif kind == BYTES:
            size, position = _read_varint(data, position)
            value, position = _take(data, position, size)
        else:
            raise ValueError(f"Field {tag >> 3} must have wire type 0, 1, 2 or 5. Received: {kind}")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def read_map(entries: list[bytes]) -> dict[str, bytes]:
    """A `map<string, Message>` field, given its repeated entries."""
    pairs = [read_message(entry) for entry in entries]
    return {pair.get(1, [b""])[-1].decode(): pair.get(2, [b""])[-1] for pair in pairs}


def signed(value: int) -> int:
    """An int64 field from its varint."""
    return value - (1 << 64) if value >= 1 << 63 else value


def write_bytes(number: int, value: bytes | str) -> bytes:
    """One string, bytes or message field."""
    payload = value.encode() if isinstance(value, str) else value
    return _write_varint(number << 3 | BYTES) + _write_varint(len(payload)) + payload


def write_map(number: int, entries: dict[str, bytes]) -> bytes:
    """A `map<string, Message>` field."""
    return b"".join(
        write_bytes(number, write_bytes(1, key) + write_bytes(2, value)) for key, value in entries.items()
    )


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise ValueError(f"The message ends within a varint, at byte {position}")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, position
    raise ValueError(f"A varint has more than 10 bytes, before byte {position}")


def _write_varint(value: int) -> bytes:
    output = bytearray()
    while value >= 0x80:
        output.append(value & 0x7F | 0x80)
        value >>= 7
    output.append(value)
    return bytes(output)


def _take(data: bytes, position: int, size: int) -> tuple[bytes, int]:
    if position + size > len(data):
        raise ValueError(f"The message ends within a field of {size} bytes, at byte {position}")
    return data[position : position + size], position + size
