"""Reading and writing of YAML 1.2, with the line of every key and without duplicate keys.

PyYAML follows YAML 1.1, in which `3e-4` is a string, `no` a boolean and `1:30` the number 90. Each of these would
silently change the meaning of a recipe.
"""

import math
import re
from typing import Any

import yaml

Keys = tuple[str | int, ...]

_STRING = "tag:yaml.org,2002:str"
_INTEGER = r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
_FLOAT = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
# The core schema of YAML 1.2.2, section 10.3.2: tag, pattern, first characters ("" is the empty scalar).
_RESOLVERS = [
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", _INTEGER, list("-+0123456789")),
    ("float", _FLOAT, list("-+.0123456789")),
]


def _add_resolvers(cls: type[yaml.SafeLoader] | type[yaml.SafeDumper]) -> None:
    cls.yaml_implicit_resolvers = {}
    for tag, pattern, first in _RESOLVERS:
        cls.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"(?:{pattern})\\Z"), first)


_DEEPEST = 50
"""Maximum nesting of lists and sections: the functions that process them are recursive."""


class _Loader(yaml.SafeLoader):
    def __init__(self, stream: str):
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        # An alias makes a value that is shared between two places, or contains itself.
        mark = self.peek_event().start_mark
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases are not allowed, write the value out", problem_mark=mark)
        if self._depth == _DEEPEST:
            problem = f"values must be nested at most {_DEEPEST} deep"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Dumper(yaml.SafeDumper):
    # Uses the loader's patterns to decide which strings need quotes, so that dumped values are read back unchanged.

    def ignore_aliases(self, data: Any) -> bool:
        return True


_add_resolvers(_Loader)
_add_resolvers(_Dumper)


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = node.value
    try:
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    except ValueError:  # Python converts no text of more than some thousand digits
        problem = f"an integer of {len(text):,} digits is too long"
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None


def _construct_float(loader: _Loader, node: yaml.ScalarNode) -> float:
    text = node.value.lower()
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)


def _represent_float(dumper: _Dumper, value: float) -> yaml.ScalarNode:
    # repr is the shortest text that reads back as the same float; `1e-05` needs no dot in version 1.2.
    text = repr(value) if math.isfinite(value) else {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}[repr(value)]
    return dumper.represent_scalar("tag:yaml.org,2002:float", text)


_Dumper.add_representer(float, _represent_float)


def _check(loader: _Loader, node: yaml.Node | None, path: Keys, lines: dict[Keys, int]) -> None:
    """Records the line of every key below `node`, and rejects tags, keys that are not text and duplicate keys."""
    if node is None:
        return
    implied = loader.resolve(type(node), node.value, (True, False))
    if node.tag not in (_STRING, implied):
        raise yaml.MarkedYAMLError(problem="explicit tags are not allowed", problem_mark=node.start_mark)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be plain text", problem_mark=key.start_mark)
            key.tag = _STRING
            if (*path, key.value) in lines:
                raise yaml.MarkedYAMLError(problem=f"duplicate key '{key.value}'", problem_mark=key.start_mark)
            lines[(*path, key.value)] = key.start_mark.line + 1
            _check(loader, value, (*path, key.value), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*path, index)] = value.start_mark.line + 1
            _check(loader, value, (*path, index), lines)


def loads(text: str) -> tuple[Any, dict[Keys, int]]:
    """Reads one YAML document.

    Returns:
        The value, and the line of each key or list item (counted from 1) by its path.

    Raises:
        yaml.YAMLError: If the text is not YAML, is nested too deeply, or contains a duplicate key, an alias, an
            explicit tag, a key that is not text or an integer that is too long.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        lines: dict[Keys, int] = {}
        _check(loader, node, (), lines)
        return (None if node is None else loader.construct_document(node)), lines
    finally:
        loader.dispose()


def inline(value: Any) -> str:
    """Writes plain data as `dumps` does, but on one line: `{kind: adamw, betas: [0.9, 0.99]}`."""
    text = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=math.inf, default_flow_style=True
    )
    return text.removesuffix("\n").removesuffix("\n...")


def dumps(value: Any) -> str:
    """Writes plain data (mappings, lists, strings, numbers, booleans, null) as YAML that `loads` reads back."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
