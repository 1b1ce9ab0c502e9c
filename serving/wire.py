"""The part of the protocol-buffer wire format that signatures and warm-up requests need.

The stock check cannot use TensorFlow's generated message classes, because it must not import tensorflow.
See https://protobuf.dev/programming-guides/encoding/.
"""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class Message:
    """Fields of a message, parsed from its bytes. If a field that is not repeated occurs twice, the last value is used.

    Raises:
        ValueError: If the bytes end within a field, a varint is too long, or a field uses the old group encoding.
    """

    def __init__(self, data: bytes):
        self._integers: dict[int, int] = {}
        self._payloads: dict[int, list[bytes]] = {}
        position = 0
        while position < len(data):
            tag, position = _read_varint(data, position)
            number, kind = tag >> 3, tag & 7
            if kind == VARINT:
                self._integers[number], position = _read_varint(data, position)
            elif kind in (FIXED64, FIXED32):
                raw, position = _read_bytes(data, position, 8 if kind == FIXED64 else 4)
                self._integers[number] = int.from_bytes(raw, "little")
            elif kind == BYTES:
                size, position = _read_varint(data, position)
                raw, position = _read_bytes(data, position, size)
                self._payloads.setdefault(number, []).append(raw)
            else:
                raise ValueError(f"Field {number} must have wire type 0, 1, 2 or 5. Received: {kind}")

    def integer(self, number: int) -> int:
        """Returns a varint or fixed-width field as an unsigned integer, 0 if absent."""
        return self._integers.get(number, 0)

    def payload(self, number: int) -> bytes:
        """Returns the bytes of a string, bytes or message field, empty if absent."""
        return self._payloads.get(number, [b""])[-1]

    def payloads(self, number: int) -> list[bytes]:
        """Returns the values of a repeated string, bytes or message field."""
        return self._payloads.get(number, [])

    def map(self, number: int) -> dict[str, bytes]:
        """Returns a `map<string, Message>` field, with the messages as bytes."""
        entries = [Message(entry) for entry in self.payloads(number)]
        return {entry.payload(1).decode(): entry.payload(2) for entry in entries}


def signed(value: int) -> int:
    """Returns the int64 value of a varint."""
    return value - (1 << 64) if value >= 1 << 63 else value


def write_bytes(number: int, value: bytes | str) -> bytes:
    """Returns the encoding of a string, bytes or message field."""
    payload = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | BYTES) + _varint(len(payload)) + payload


def write_varint(number: int, value: int) -> bytes:
    """Returns the encoding of a field of non-negative integers or booleans."""
    return _varint(number << 3 | VARINT) + _varint(value)


def write_map(number: int, entries: dict[str, bytes]) -> bytes:
    """Returns the encoding of a `map<string, Message>` field, given the messages as bytes."""
    return b"".join(write_bytes(number, write_bytes(1, key) + write_bytes(2, value)) for key, value in entries.items())


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


def _varint(value: int) -> bytes:
    output = bytearray()
    while value >= 0x80:
        output.append(value & 0x7F | 0x80)
        value >>= 7
    output.append(value)
    return bytes(output)


def _read_bytes(data: bytes, position: int, size: int) -> tuple[bytes, int]:
    if position + size > len(data):
        raise ValueError(f"The message ends within a field of {size} bytes, at byte {position}")
    return data[position : position + size], position + size
