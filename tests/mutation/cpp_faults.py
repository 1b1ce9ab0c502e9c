"""One-line faults of C++ code as clang-format leaves it: operators between spaces, one statement a line."""

import re

from python_faults import Fault

OPERATORS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||", "||": "&&"}
OPERATORS |= {"+": "-", "-": "+", "*": "+", "/": "*", "%": "/", "+=": "-=", "-=": "+=", "*=": "+="}
WORDS = {"true": "false", "false": "true", "std::min": "std::max", "std::max": "std::min"}
# Lines that run nothing, and those of messages.
IDLE = re.compile(
    r"\s*(#|(template|using|namespace|static_assert|friend)\b|REGISTER_|\.(Input|Output|Attr)\()|.*DebugString"
)
OPERATOR = re.compile(rf"(?<= )({'|'.join(re.escape(x) for x in sorted(OPERATORS, key=len, reverse=True))})(?= )")
WORD = re.compile(rf"(?<![\w:])({'|'.join(WORDS)})\b")
NUMBER = re.compile(r"(?<![\w.<\"])\d+(?![\w.>\"])")
NOT = re.compile(r"!(?=[\w(])")
STATEMENT = re.compile(r"(\s+)(?:[\w.\[\]]|->|::)+(?:\(.*\)| [-+*/|&]?= .*);$")


def faults(source: str) -> list[Fault]:
    """All that can be made in a file; some will not compile."""
    found = []
    for number, (line, code) in enumerate(zip(source.splitlines(), _code(source).splitlines(), strict=True), 1):
        if not code.strip() or IDLE.match(code):
            continue

        def add(match, new, what, number=number, line=line):
            found.append(Fault(number, line, line[: match.start()] + new + line[match.end() :], what))

        for match in OPERATOR.finditer(code):
            if not re.match(r"\s*template|.*\boperator *$", code[: match.start()]):
                add(match, OPERATORS[match[0]], "operator")
        for match in WORD.finditer(code):
            add(match, WORDS[match[0]], "word")
        for match in NUMBER.finditer(code):
            add(match, str(int(match[0]) + 1), "constant")
        for match in NOT.finditer(code):
            add(match, "", "not dropped")
        statement = STATEMENT.match(code)
        if statement and not re.match(r"\s+(return|delete|throw)\b", code):
            add(statement, f"{statement[1]};", "statement")
    return found


def _code(source: str) -> str:
    """The source with comments and what stands between quotes as spaces."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.DOTALL)
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), source)
