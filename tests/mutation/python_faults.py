"""One-line faults of Python code."""

import ast
import dataclasses
from collections.abc import Iterator

COMPARISONS = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
OPERATORS = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
}
OPPOSITES = {
    "min": "max",
    "any": "all",
    "minimum": "maximum",
    "argmin": "argmax",
    "reduce_min": "reduce_max",
    "reduce_any": "reduce_all",
    "reduce_sum": "reduce_mean",
    "floor": "ceil",
    "zeros": "ones",
    "zeros_like": "ones_like",
}
OPPOSITES |= {second: first for first, second in OPPOSITES.items()}
# Arguments that say something to users, or check what cannot be otherwise.
IDLE_ARGUMENTS = ("about", "help", "description", "message", "title", "caption", "figsize", "strict")


@dataclasses.dataclass(frozen=True)
class Fault:
    """A line, counted from 1, and what stands there instead."""

    line: int
    old: str
    new: str
    what: str


def faults(source: str) -> list[Fault]:
    """All that can be made in a module, in no order that means anything."""
    lines = source.splitlines()
    found = []
    for span, replacement, what in _edits(ast.parse(source), lines):
        first, start, last, end = span
        if first != last:
            continue
        old = lines[first - 1].encode()  # ast counts bytes
        new = (old[:start] + replacement.encode() + old[end:]).decode()
        try:
            ast.parse("\n".join([*lines[: first - 1], new, *lines[first:]]))
        except SyntaxError:
            continue
        found.append(Fault(first, old.decode(), new, what))
    return found


def _span(node: ast.AST) -> tuple[int, int, int, int]:
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset


def _edits(tree: ast.AST, lines: list[str]) -> Iterator[tuple[tuple[int, int, int, int], str, str]]:
    """Spans of the source, what to write there, and what that is called."""

    def text(node):
        line = lines[node.lineno - 1].encode()
        return line[node.col_offset : node.end_col_offset].decode()

    def operator(left, right, old, new, what):
        line = lines[left.end_lineno - 1].encode()
        at = line.find(old.encode(), left.end_col_offset)
        if left.end_lineno == right.lineno and left.end_col_offset <= at < right.col_offset:
            yield (left.end_lineno, at, left.end_lineno, at + len(old)), new, what

    for node, bound in _that_matter(tree, frozenset()):
        if isinstance(node, ast.Compare):
            for left, kind, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
                yield from operator(left, right, *COMPARISONS[type(kind)], "comparison")
        elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            if not any(_is_text(side) for side in (node.left, node.right)):
                yield from operator(node.left, node.right, *OPERATORS[type(node.op)], "operator")
        elif isinstance(node, ast.BoolOp):
            for left, right in zip(node.values, node.values[1:], strict=False):
                yield from operator(left, right, *OPERATORS[type(node.op)], "and/or")
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield _span(node), f"({text(node.operand)})", "not dropped"
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, bool):
                yield _span(node), str(not node.value), "constant"
            elif isinstance(node.value, int):
                yield _span(node), str(node.value + 1), "constant"
            elif isinstance(node.value, float):
                yield _span(node), repr(2 * node.value or 1.0), "constant"
        elif isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
            name = node.id if isinstance(node, ast.Name) else node.attr
            if name in OPPOSITES:
                *_, last, end = _span(node)
                yield (last, end - len(name), last, end), OPPOSITES[name], "function"
        elif isinstance(node, (ast.If, ast.IfExp, ast.While)):
            # The first two have faults of their own.
            if not isinstance(node.test, (ast.Compare, ast.UnaryOp)) and text(node.test) != "TYPE_CHECKING":
                yield _span(node.test), f"not ({text(node.test)})", "condition"
        elif isinstance(node, ast.Return):
            if node.value is not None and not isinstance(node.value, ast.Constant):
                yield _span(node.value), "None", "result"
        elif (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)) or isinstance(node, ast.AugAssign):
            yield _span(node), "pass", "statement"
        elif isinstance(node, ast.Assign):
            # Without a first assignment to a name the next line would fail, whatever the tests are.
            targets = [x for x in node.targets if not isinstance(x, (ast.Attribute, ast.Subscript))]
            if all(getattr(x, "id", None) in bound for x in targets):
                yield _span(node), "pass", "statement"


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _that_matter(node: ast.AST, bound: frozenset[str]) -> Iterator[tuple[ast.AST, frozenset[str]]]:
    """All nodes but those of types, texts, imports and errors, each with the names that its function had bound
    before."""
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.Raise, ast.JoinedStr)):
        return
    if isinstance(node, ast.keyword) and node.arg in IDLE_ARGUMENTS:
        return
    if isinstance(node, ast.Assign) and any(getattr(x, "id", None) == "__all__" for x in node.targets):
        return
    yield node, bound
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        bound = frozenset(x.arg for x in ast.walk(node.args) if isinstance(x, ast.arg))
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "msg"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _that_matter(child, bound)
                if isinstance(child, ast.stmt):
                    bound |= {x.id for x in ast.walk(child) if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Store)}
