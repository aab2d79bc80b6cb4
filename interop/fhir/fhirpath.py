"""The part of FHIRPath by which a patch names elements (R4 fhirpatch.html): a parser for it.

``Type.element[0].part``, and the functions ``where()``, ``first()``, ``last()``, ``single()``, ``ofType()``,
``extension()``, ``exists()``, ``empty()``, ``not()`` and ``startsWith()``; in a condition also ``=``, ``!=``, ``and``,
``or``, brackets, ``$this`` and literals. Anything else is refused by name, never guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from interop.errors import InvalidContentError

MAX_LENGTH = 2000
_MAX_NESTING = 20
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<name>[A-Za-z_][A-Za-z0-9_]*|`[^`]+`)
    | (?P<text>'(?:[^'\\]|\\.)*')
    | (?P<number>[0-9]+(?:\.[0-9]+)?)
    | (?P<sign>!=|[.\[\]()=,]|\$this)
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}
FUNCTIONS = {  # name: how many arguments, and whether they are a condition, a value or a type
    "where": "condition",
    "exists": "condition?",
    "extension": "value",
    "startsWith": "value",
    "ofType": "type",
    "first": "",
    "last": "",
    "single": "",
    "empty": "",
    "not": "",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a path: an element, an index behind one, or a function."""

    kind: str  # element | index | function | this
    name: str = ""
    index: int = 0
    argument: Expression | None = None


@dataclass(frozen=True, slots=True)
class Path:
    """Steps, from the resource or from where a condition stands."""

    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that is written out; a number as its text."""

    value: str | bool
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Binary:
    """Two expressions and what stands between them."""

    sign: str  # = != and or
    left: Expression
    right: Expression


Expression = Path | Literal | Binary


@lru_cache(maxsize=256)
def parse_path(text: str) -> Path:
    """The path; InvalidContentError (422) saying at which character it is not understood."""
    if len(text) > MAX_LENGTH:
        raise InvalidContentError(f"a path has at most {MAX_LENGTH} characters", issue_code="too-long")
    reading = _Reading(text)
    path = reading.path()
    reading.end()
    return path


class _Reading:
    """Recursive descent over the tokens."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.at = 0
        self.depth = 0

    def _peek(self) -> tuple[str, str, int]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "", len(self.text))

    def _next(self) -> tuple[str, str, int]:
        token = self._peek()
        self.at += 1
        return token

    def _is(self, sign: str) -> bool:
        if self._peek()[:2] in (("sign", sign), ("name", sign)):
            self.at += 1
            return True
        return False

    def _need(self, sign: str) -> None:
        if not self._is(sign):
            self._refuse(f"{sign!r} is missing")

    def _refuse(self, words: str) -> None:
        raise InvalidContentError(f"path {self.text[:200]!r}, character {self._peek()[2] + 1}: {words}")

    def end(self) -> None:
        if self._peek()[0] != "end":
            self._refuse("not understood")

    def path(self) -> Path:
        steps = [self._first()]
        while True:
            if self._is("["):
                kind, number, _ = self._next()
                if kind != "number" or not number.isdigit() or len(number) > 9:
                    self._refuse("an index is a whole number")
                self._need("]")
                steps.append(Step("index", index=int(number)))
            elif self._is("."):
                steps.append(self._step())
            else:
                return Path(tuple(steps))

    def _first(self) -> Step:
        return Step("this") if self._is("$this") else self._step()

    def _step(self) -> Step:
        kind, name, _ = self._next()
        if kind != "name":
            self.at -= 1
            self._refuse("an element or a function is missing")
        name = name.strip("`")
        if not self._is("("):
            return Step("element", name)
        takes = FUNCTIONS.get(name)
        if takes is None:
            self._refuse(f"the function {name[:40]}() is not offered; offered are {', '.join(FUNCTIONS)}")
        argument = None
        if not self._is(")"):
            if not takes:
                self._refuse(f"{name}() takes nothing")
            argument = self._condition()
            self._need(")")
        elif takes and takes != "condition?":
            self._refuse(f"{name}() needs something in its brackets")
        return Step("function", name, argument=argument)

    def _condition(self) -> Expression:
        self.depth += 1
        if self.depth > _MAX_NESTING:
            self._refuse("nested too deeply")
        left = self._conjunction()
        while self._is("or"):
            left = Binary("or", left, self._conjunction())
        self.depth -= 1
        return left

    def _conjunction(self) -> Expression:
        left = self._comparison()
        while self._is("and"):
            left = Binary("and", left, self._comparison())
        return left

    def _comparison(self) -> Expression:
        left = self._operand()
        for sign in ("=", "!="):
            if self._is(sign):
                return Binary(sign, left, self._operand())
        return left

    def _operand(self) -> Expression:
        if self._is("("):
            inner = self._condition()
            self._need(")")
            return inner
        kind, text, _ = self._peek()
        if kind == "text":
            self.at += 1
            return Literal(_unescaped(text[1:-1]))
        if kind == "number":
            self.at += 1
            return Literal(text, is_number=True)
        if kind == "name" and text in ("true", "false"):
            self.at += 1
            return Literal(text == "true")
        return self.path()


def _tokens(text: str) -> list[tuple[str, str, int]]:
    found: list[tuple[str, str, int]] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise InvalidContentError(f"path {text[:200]!r}, character {at + 1}: not understood")
        kind = match.lastgroup or ""
        found.append((kind, match[kind], match.start(kind)))
        at = match.end()
    return found


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text, flags=re.DOTALL)
