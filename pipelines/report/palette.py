"""The colours of reports and their pictures, each for light and dark mode.

Pictures are drawn in the light colours, which the page replaces by CSS variables, so that they follow the reader's
mode. Elements that differ in colour also differ in lightness, shape or hatching, for the colour-blind and for print.
"""

# Name: (light mode, dark mode). The light colours must all differ, as the page finds a picture's colours by them.
COLOURS = {
    "ink": ("#1b2026", "#e8eaed"),
    "muted": ("#59636e", "#9ba5b0"),
    "line": ("#d5dae0", "#343b44"),
    "page": ("#fcfcfb", "#14181d"),
    "panel": ("#f1f3f5", "#1e242b"),
    "ours": ("#0a5fb4", "#5cadff"),
    "other": ("#d1600a", "#ff9a4d"),
    "third": ("#0b7a66", "#3ec9ae"),
    "baseline": ("#9ba6b2", "#6f7b88"),
    "peer": ("#c6cdd5", "#4a545f"),
}
LIGHT = {name: light for name, (light, _) in COLOURS.items()}

# Backgrounds of the text in the surprisal section, from hardly to very surprising; `ink` is legible on all of them.
SHADES = (("#ffe9cc", "#45310f"), ("#ffd199", "#5f3d0c"), ("#ffb45c", "#7e4b0a"), ("#f7924a", "#9e5210"))


def css(mode: int) -> str:
    """Returns CSS declarations of all colours for light (0) or dark (1) mode."""
    named = {**COLOURS, **{f"shade-{index}": shade for index, shade in enumerate(SHADES, 1)}}
    return " ".join(f"--{name}: {pair[mode]};" for name, pair in named.items())
