"""Makes Markdown of our docstrings, so that the page shows what a reader of the code sees."""

import re

import griffe

# An example and what it prints: up to the next empty line.
_EXAMPLE = re.compile(r"^[ ]*>>> .*\n(?:[ ]*\S.*\n)*", re.MULTILINE)
# A heading that is Keras's and not Google's, and the indented lines below it.
_ARGUMENTS = re.compile(r"^(Call arguments(?: of `\w+`)?):\n((?:    .*\n|\n(?=    ))+)", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Fences examples, as Markdown takes `>>>` for a quotation, and lists the arguments of `call`."""

    def on_instance(self, *, obj, **kwargs):
        """Rewrites the docstring of one object."""
        if obj.docstring:
            text = obj.docstring.value + "\n"
            text = _ARGUMENTS.sub(lambda match: f"**{match[1]}:**\n\n{_listed(match[2])}\n", text)
            obj.docstring.value = _EXAMPLE.sub(lambda match: f"```pycon\n{match[0]}```\n", text)


def _listed(block):
    """`name: text` with text over several lines, indented, as a list."""
    return re.sub(r"^    (\w[\w, ]*): ", r"- `\1`: ", block, flags=re.MULTILINE)
