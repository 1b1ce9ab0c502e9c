"""Inspects image files in the graph before they are decoded: their format, their orientation, and why one is rejected.

TensorFlow's decoders leave this to their callers. They ignore the Exif orientation and a GIF's transparency, return a
BMP's palette indices as pixels, and write past the end of an animated WebP's pixels.
"""

from typing import NamedTuple

import tensorflow as tf

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WebP")
ALL_FORMATS = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"

# The first bytes of a file of each format; `?` stands for any byte.
_MAGIC = (b"\x89PNG\r\n\x1a\n????", b"\xff\xd8\xff?????????", b"GIF8????????", b"BM??????????", b"RIFF????WEBP")
# Other kinds of files: the offset of their magic bytes, the bytes, and the name of the kind.
_OTHERS = (
    (0, b"II*\0", "a TIFF image"),
    (0, b"MM\0*", "a TIFF image"),
    (4, b"ftyp", "a HEIC, AVIF or video file"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"%PDF", "a PDF file"),
    (0, b"version https://git-lfs", "a pointer of Git LFS, whose file has not been fetched"),
)
_TEXT = r"[\t\n\r -~]+"
_PADDING = 64
"""Zeros appended to a file, at least as many as are read at once from any place."""
_PARTS, _BYTES_OF_A_PART = 1_000, 64
"""Parts of a file, such as chunks, that are always read, and the number of bytes for each further one. A GIF has a part
for each 255 bytes of its image, and a PNG or JPEG for some thousands."""
_MANY_PARTS = "an image file of too many parts"
_ORIENTATION = 0x0112
"""Exif's tag of the orientation."""


class Header(NamedTuple):
    """Properties of a file as scalar tensors.

    Attributes:
        format: int32, index in `FORMATS`, or `len(FORMATS)` for other files.
        problem: string, description of a file that is rejected; empty for an image that can be decoded.
        orientation: int32, Exif orientation from 1 (upright) to 8.
        transparent: Boolean, whether a PNG has transparent pixels.
        content: string, the file; in a GIF, the transparent colour is replaced by white.
    """

    format: tf.Tensor
    problem: tf.Tensor
    orientation: tf.Tensor
    transparent: tf.Tensor
    content: tf.Tensor


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def inspect(file: tf.Tensor) -> Header:
    """Returns the header of a file, a string of any bytes."""
    size = tf.cast(tf.strings.length(file), tf.int64)
    data = tf.concat([tf.io.decode_raw(file, tf.uint8), tf.zeros([_PADDING], tf.uint8)], 0)
    magic = tf.constant([list(first) for first in _MAGIC], tf.uint8)
    ours = tf.reduce_all((data[: len(_MAGIC[0])] == magic) | (magic == ord("?")), 1)
    number = tf.where(tf.reduce_any(ours), tf.argmax(ours, output_type=tf.int32), len(FORMATS))
    # Offset of the Exif data, or 0; whether there are transparent pixels; the file; the problem.
    exif, transparent, content, problem = tf.switch_case(
        number,
        [
            lambda: _png(file, data, size),
            lambda: _jpeg(file, data, size),
            lambda: _gif(file, data, size),
            lambda: _bmp(file, data),
            lambda: _webp(file, data, size),
            lambda: _other(file, data),
        ],
    )
    orientation = tf.cond(exif > 0, lambda: _orientation(data, exif, size), lambda: 1)
    return Header(number, problem, orientation, transparent, content)


def _holds(file, names):
    """Returns whether some bytes occur anywhere in a file; if not, the slower walk over its chunks can be skipped."""
    return tf.strings.regex_full_match(file, rf"\C*({names})\C*")


def _stands(data, place, magic):
    """Returns whether `magic` stands at a place."""
    return tf.reduce_all(data[place : place + len(magic)] == list(magic))


def _bytes(data, place, count):
    """Returns `count` bytes from a place on, int64; zeros beyond the file's end."""
    place = tf.minimum(tf.cast(place, tf.int64), tf.size(data, tf.int64) - count)
    return tf.cast(tf.slice(data, [place], [count]), tf.int64)


def _big(digits):
    """Returns the number that some bytes encode, big-endian."""
    return tf.reduce_sum(digits * [256**power for power in reversed(range(digits.shape[0]))])


def _little(digits):
    """Returns the number that some bytes encode, little-endian."""
    return tf.reduce_sum(digits * [256**power for power in range(digits.shape[0])])


def _tag(name):
    return int.from_bytes(name, "big")


def _either(condition, this, that):
    """Returns one of two numbers, int64."""
    return tf.where(condition, tf.cast(this, tf.int64), tf.cast(that, tf.int64))


def _numbers(values):
    return tf.constant(values, tf.int64)


def _loop(size, running, body, ended, *start):
    """Runs `tf.while_loop` from the values `start` (int64 or False) while `running`, until the body returns `ended`.

    Returns the final values, and whether it stopped before because the file has too many parts for its size: a step
    takes as long as decoding some thousand pixels, and a file of a megabyte may state half a million empty parts.
    """
    begin = [value if value is False else tf.cast(value, tf.int64) for value in start]
    most = _PARTS + size // _BYTES_OF_A_PART

    def step(left, ended, *values):
        return left - 1, *body(ended, *values)

    left, ended, *found = tf.while_loop(
        lambda left, ended, *values: ~ended & (left > 0) & running(*values), step, [most, ended, *begin]
    )
    return *found, ~ended & (left == 0) & running(*found)


def _orientation(data, start, size):
    """Returns the orientation in the Exif data at `start`, which begins with the mark of its byte order."""
    is_little = _bytes(data, start, 1)[0] == ord("I")

    def number(places, count):
        powers = [256**power for power in range(count)]
        places = tf.minimum(places[..., None] + tf.range(count, dtype=tf.int64), tf.size(data, tf.int64) - 1)
        return tf.reduce_sum(
            tf.cast(tf.gather(data, places), tf.int64) * tf.where(is_little, _numbers(powers), _numbers(powers[::-1])),
            -1,
        )

    table = start + number(start + 4, 4)
    count = tf.clip_by_value(number(table, 2), 0, tf.maximum(size - table - 2, 0) // 12)
    entries = table + 2 + 12 * tf.range(count)
    values = number(entries + 8, 2)
    fits = (number(entries, 2) == _ORIENTATION) & (values <= 8)
    return tf.cast(tf.reduce_max(tf.concat([[1], tf.where(fits, values, 1)], 0)), tf.int32)


def _png(file, data, size):
    """Walks over the chunks."""

    def chunk(_, place, exif, transparent, animated):
        head = _bytes(data, place, 8)
        length, kind = _big(head[:4]), _big(head[4:])
        exif = tf.where(kind == _tag(b"eXIf"), place + 8, exif)
        transparent |= kind == _tag(b"tRNS")
        animated |= kind == _tag(b"acTL")
        return kind == _tag(b"IEND"), place + length + 12, exif, transparent, animated

    ended = ~_holds(file, "tRNS|acTL|eXIf")
    start = (8, 0, False, False)
    _, exif, has_table, animated, is_cut = _loop(size, lambda place, *_: place + 12 <= size, chunk, ended, *start)
    has_channel = data[25] & 4 != 0
    problem = tf.where(animated, "an animated PNG, which is not one image", tf.where(is_cut, _MANY_PARTS, ""))
    return exif, has_table | has_channel, file, problem


def _jpeg(file, data, size):
    """Walks over the segments before the image."""

    def segment(_, place, exif):
        head = _bytes(data, place, 10)
        is_filled = head[1] == 0xFF  # a fill byte before the marker
        exif = tf.where((head[1] == 0xE1) & (_big(head[4:]) == _tag(b"Exif\0\0")), place + 10, exif)
        ended = (head[0] != 0xFF) | (head[1] == 0xDA) | (head[1] == 0xD9)
        return ended, place + _either(is_filled, 1, 2 + _big(head[2:4])), exif

    ended = ~_holds(file, r"Exif\x00\x00")
    _, exif, is_cut = _loop(size, lambda place, _: place + 4 <= size, segment, ended, 2, 0)
    return exif, False, file, tf.where(is_cut, _MANY_PARTS, "")


def _gif(file, data, size):
    """Walks over the blocks up to a second image, and makes the transparent colour white."""

    def step(_, place, in_block, images, first, control):
        """Takes the beginning of a block, or one sub-block of its data, of which the last is empty."""
        head = _bytes(data, place, 10)
        is_image, is_extension = ~in_block & (head[0] == 0x2C), ~in_block & (head[0] == 0x21)
        first = _either(is_image & (images == 0), place, first)
        control = _either(is_extension & (head[1] == 0xF9) & (images == 0), place + 3, control)
        length = _either(is_image, 11 + 3 * _colours(head[9]), _either(is_extension, 2, size))
        place += _either(in_block, 1 + head[0], length)
        in_block = tf.where(in_block, head[0] > 0, is_image | is_extension)
        images += tf.cast(is_image, tf.int64)
        return images > 1, place, in_block, images, first, control

    canvas, flags = _bytes(data, 6, 4), _bytes(data, 10, 1)[0]
    start = (13 + 3 * _colours(flags), False, 0, 0, 0)
    _, _, images, first, control, is_cut = _loop(size, lambda place, *_: place < size, step, tf.constant(False), *start)
    image = _bytes(data, first, 10)
    fills = tf.reduce_all(image[1:9] == tf.concat([tf.zeros([4], tf.int64), canvas], 0))
    problem = tf.where(fills | (images == 0), "", "a GIF whose image does not fill it")
    problem = tf.where(is_cut, _MANY_PARTS, problem)
    problem = tf.where(images > 1, "an animated GIF, which is not one image", problem)

    own = _colours(image[9])
    table, colours = _either(own > 0, first + 10, 13), _either(own > 0, own, _colours(flags))
    transparency = _bytes(data, control, 4)  # bit 0 of the first byte: whether there is any; last byte: which colour
    is_transparent = (control > 0) & (transparency[0] & 1 != 0)
    file = _replaced(file, is_transparent, control, b"\0")
    white = is_transparent & (transparency[3] < colours)
    file = _replaced(file, white, table + 3 * transparency[3], b"\xff\xff\xff")
    return tf.constant(0, tf.int64), False, file, problem


def _colours(flags):
    """Returns the number of colours in a GIF's table from its byte of flags; 0 if there is no table."""
    return _either(flags & 0x80 != 0, 2 ** ((flags & 7) + 1), 0)


def _replaced(file, when, place, new):
    """Returns a file with the bytes at a place replaced by `new`, if `when` is true and the file is long enough."""
    place = tf.cast(place, tf.int32)

    def replaced():
        return tf.strings.substr(file, 0, place) + new + tf.strings.substr(file, place + len(new), 2**31 - 1)

    return tf.cond(when & (place + len(new) <= tf.strings.length(file)), replaced, lambda: file)


def _bmp(file, data):
    """Accepts uncompressed files with 8 bits a pixel and a palette, or with 24 or 32 bits."""
    header, bits, compression = (_little(_bytes(data, place, 4)) for place in (14, 28, 30))
    bits &= 0xFFFF
    taken = (header >= 40) & (compression == 0) & tf.reduce_any(bits == [8, 24, 32])
    kind = tf.strings.format("a BMP with {} bits a pixel and compression {}", [bits, compression])
    return (
        tf.constant(0, tf.int64),
        False,
        file,
        tf.where(taken, "", kind + ", not an uncompressed one with 8, 24 or 32"),
    )


def _webp(file, data, size):
    """Walks over the chunks."""

    def chunk(ended, place, exif, animated):
        head = _bytes(data, place, 14)
        kind, length = _big(head[:4]), _little(head[4:8])
        start = place + _either(_big(head[8:]) == _tag(b"Exif\0\0"), 14, 8)
        exif = tf.where(kind == _tag(b"EXIF"), start, exif)
        animated |= (kind == _tag(b"VP8X")) & (head[8] & 2 != 0)
        animated |= (kind == _tag(b"ANIM")) | (kind == _tag(b"ANMF"))
        return ended, place + 8 + length + length % 2, exif, animated

    ended = ~_holds(file, "VP8X|ANIM|ANMF|EXIF")
    _, exif, animated, is_cut = _loop(size, lambda place, *_: place + 8 <= size, chunk, ended, 12, 0, False)
    problem = tf.where(animated, "an animated WebP, which is not one image", tf.where(is_cut, _MANY_PARTS, ""))
    return exif, False, file, problem


def _other(file, data):
    """Describes a file that is no image."""
    is_text = tf.strings.regex_full_match(tf.strings.substr(file, 0, 512), _TEXT)
    found = tf.where(is_text, "text", "a file of another kind")
    for place, magic, name in _OTHERS:
        found = tf.where(_stands(data, place, magic), name, found)
    found = tf.where(tf.strings.length(file) == 0, "empty", found)
    return tf.constant(0, tf.int64), False, file, found + f", not a {ALL_FORMATS} image"
