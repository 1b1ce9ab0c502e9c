"""Speaks texts with espeak-ng: a program of its own, which uses Python's standard library alone.

espeak-ng is under the GPL, so it never runs in a process of Ikelos. The program takes the paths of the library and of
the folder with its data, reads a line of JSON `[voice, words a minute, pitch, range, text]` for each text from its
standard input, and writes the number of samples (uint32) and the samples (int16, mono) to its standard output. Both are
in the machine's byte order, and begin with the samples per second, uint32. Pitch and range are from 0 to 100.
"""

import ctypes
import json
import struct
import sys

_SYNCHRONOUS, _CHARACTERS, _UTF8 = 2, 1, 1  # espeak_AUDIO_OUTPUT, espeak_POSITION_TYPE, espeakCHARS_UTF8
_NO_EXIT = 1 << 15  # espeakINITIALIZE_DONT_EXIT
_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def main(library: str, data: str) -> None:
    """Speaks the texts of the standard input."""
    espeak, chunks = ctypes.CDLL(library), []

    @_CALLBACK
    def collect(samples, number, events):
        del events
        if samples and number:
            chunks.append(ctypes.string_at(samples, 2 * number))
        return 0

    rate = espeak.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _NO_EXIT)
    if rate <= 0:
        sys.exit(f"espeak-ng cannot be started with the data in {data}")
    espeak.espeak_SetSynthCallback(collect)
    output = sys.stdout.buffer
    output.write(struct.pack("=I", rate))
    output.flush()
    for line in sys.stdin.buffer:
        voice, words_a_minute, pitch, pitch_range, text = json.loads(line)
        if espeak.espeak_SetVoiceByName(voice.encode()):
            sys.exit(f"espeak-ng has no voice {voice}")
        for parameter, value in ((_RATE, words_a_minute), (_PITCH, pitch), (_RANGE, pitch_range)):
            espeak.espeak_SetParameter(parameter, value, 0)
        content = text.encode()
        chunks.clear()
        if espeak.espeak_Synth(content, len(content) + 1, 0, _CHARACTERS, 0, _UTF8, None, None):
            sys.exit(f"espeak-ng cannot speak {text!r}")
        samples = b"".join(chunks)
        output.write(struct.pack("=I", len(samples) // 2) + samples)
        output.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
