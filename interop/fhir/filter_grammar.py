"""The text of a ``_filter`` as a tree (R4 search_filter.html): tests, joined by ``and`` and ``or``, turned by ``not``.

``and`` and ``or`` have no precedence over one another: they are read from left to right, and parentheses say otherwise.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal

from interop.errors import UnsupportedError
from interop.fhir.search_values import wrong

MAX_TEXT = 4000  # characters
MAX_DEPTH = 12  # of parentheses, and of and, or and not, within one another: SQLite's parser has a stack of 100
MAX_TESTS = 60
OPERATORS = (
    "eq", "ne", "co", "sw", "ew", "gt", "lt", "ge", "le", "ap", "sa", "eb", "pr", "po", "ss", "sb", "in", "re"
)  # fmt: skip

_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[_\-A-Za-z][_\-A-Za-z0-9]*")
_WORD = re.compile(r"[^\s()\[\]]+")
_TOKEN = re.compile(r"[^\s)\]]+")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True, slots=True)
class Comparison:
    """``path operator value``; ``at`` is where its path begins, the first character being 1."""

    path: tuple[str, ...]
    operator: str
    value: str
    at: int


@dataclass(frozen=True, slots=True)
class Group:
    """All of the parts (and), one of them (or), or not the only one (not)."""

    kind: Literal["and", "or", "not"]
    parts: tuple[Node, ...]


Node = Comparison | Group


def located(at: int, error: UnsupportedError) -> UnsupportedError:
    """The error, with where in the filter it is."""
    return UnsupportedError(f"_filter, at character {at}: {error.text}", issue_code=error.issue_code)


def parse_filter(text: str) -> Node:
    """The tree; UnsupportedError (400) that names the character for what the grammar does not have."""
    if len(text) > MAX_TEXT:
        raise wrong(f"_filter has at most {MAX_TEXT} characters")
    reader = _Reader(text)
    node = reader.filter(0)
    if reader.at < len(text):
        raise reader.expected("and, or, or the end")
    if _depth(node) > MAX_DEPTH:
        raise wrong(f"_filter: and, or and not are at most {MAX_DEPTH} deep within one another, as read from the left")
    return node


class _Reader:
    """Reads on from where it stands."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.at = 0
        self._tests = 0
        self._skip()

    def expected(self, what: str) -> UnsupportedError:
        """What should stand here, and what does."""
        found = self._text[self.at : self.at + 20]
        there = f"not {found!r}" if found else "not its end"
        return located(self.at + 1, wrong(f"{what} is expected here, {there}"))

    def filter(self, depth: int) -> Node:
        """Terms with ``and`` or ``or`` between."""
        node = self._term(depth)
        while True:
            word = self._peek(_WORD)
            if word not in ("and", "or"):
                return node
            self._take(word)
            node = _joined("and" if word == "and" else "or", node, self._term(depth))

    def _term(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise located(self.at + 1, wrong(f"parentheses are at most {MAX_DEPTH} deep"))
        if self._text.startswith("(", self.at):
            return self._parenthesis(depth)
        if self._peek(_WORD) == "not":
            self._take("not")
            if not self._text.startswith("(", self.at):
                raise self.expected("a parenthesis behind not")
            return Group("not", (self._parenthesis(depth),))
        return self._test()

    def _parenthesis(self, depth: int) -> Node:
        self._take("(")
        node = self.filter(depth + 1)
        if not self._text.startswith(")", self.at):
            raise self.expected("and, or, or the closing parenthesis")
        self._take(")")
        return node

    def _test(self) -> Comparison:
        at = self.at
        self._tests += 1
        if self._tests > MAX_TESTS:
            raise located(at + 1, wrong(f"a filter has at most {MAX_TESTS} tests"))
        path = self._path()
        operator = self._peek(_WORD)
        if operator not in OPERATORS:
            raise self.expected(f"one of the operators {', '.join(OPERATORS)}")
        self._take(operator)
        return Comparison(path, operator, self._value(), at + 1)

    def _path(self) -> tuple[str, ...]:
        names: list[str] = []
        while True:
            found = _NAME.match(self._text, self.at)
            if found is None:
                raise self.expected("the name of a search parameter" if names else "a test, not or a parenthesis")
            self.at = found.end()
            names.append(found[0])
            if self._text.startswith("[", self.at):
                raise located(self.at + 1, UnsupportedError("a filter within a path ([…]) is not offered"))
            if not self._text.startswith(".", self.at):
                break
            self.at += 1
        if not self._text[self.at : self.at + 1].isspace():
            raise self.expected("a space and an operator behind the path")
        self._skip()
        return tuple(names)

    def _value(self) -> str:
        if self._text.startswith('"', self.at):
            found = _STRING.match(self._text, self.at)
            if found is None:
                raise located(self.at + 1, wrong("the string that begins here does not end"))
            try:
                value = json.loads(found[0])
            except ValueError as error:
                raise located(self.at + 1, wrong("this is no JSON string")) from error
            if not isinstance(value, str) or "\0" in value or _has_surrogate(value):
                raise located(self.at + 1, wrong("this string holds what no text has"))
        else:
            found = _TOKEN.match(self._text, self.at)
            if found is None:
                raise self.expected("a value")
            value = found[0]
        self.at = found.end()
        if self.at < len(self._text) and self._text[self.at] != ")" and not self._text[self.at].isspace():
            raise self.expected("a space or a closing parenthesis behind the value")
        self._skip()
        return value

    def _peek(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self.at)
        return found[0] if found else ""

    def _take(self, word: str) -> None:
        self.at += len(word)
        self._skip()

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self.at)
        assert found is not None
        self.at = found.end()


def _depth(node: Node) -> int:
    return 1 + max(map(_depth, node.parts)) if isinstance(node, Group) else 0


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in text)


def _joined(kind: Literal["and", "or"], left: Node, right: Node) -> Group:
    """The same that stand side by side are one group, which keeps conditions flat."""
    parts: list[Node] = []
    for each in (left, right):
        parts += each.parts if isinstance(each, Group) and each.kind == kind else (each,)
    return Group(kind, tuple(parts))
