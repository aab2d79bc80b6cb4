"""JSON Patch by RFC 6902: its own examples (appendix A), and what FHIR adds: decimals, limits."""

from __future__ import annotations

from typing import Any

import pytest

from interop.errors import InvalidContentError, MalformedError
from interop.fhir.json import dumps, loads
from interop.fhir.json_patch import read_json_patch, same_value

# RFC 6902 appendix A: before, patch, after (None: refused when carried out)
EXAMPLES: list[tuple[Any, list[dict[str, Any]], Any]] = [
    ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
    ({"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "qux"}], {"foo": ["bar", "qux", "baz"]}),
    ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
    ({"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}),
    ({"baz": "qux"}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo"}),
    (
        {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
        [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
        {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
    ),
    (
        {"foo": ["all", "grass", "cows", "eat"]},
        [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
        {"foo": ["all", "cows", "eat", "grass"]},
    ),
    (
        {"baz": "qux", "foo": ["a", 2, "c"]},
        [{"op": "test", "path": "/baz", "value": "qux"}, {"op": "test", "path": "/foo/1", "value": 2}],
        {"baz": "qux", "foo": ["a", 2, "c"]},
    ),
    ({"baz": "qux"}, [{"op": "test", "path": "/baz", "value": "bar"}], None),
    ({"foo": "bar"}, [{"op": "add", "path": "/child", "value": {"g": {}}}], {"foo": "bar", "child": {"g": {}}}),
    ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux", "xyz": 123}], {"foo": "bar", "baz": "qux"}),
    ({"foo": "bar"}, [{"op": "add", "path": "/baz/bat", "value": "qux"}], None),
    ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
    ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": "10"}], None),
    ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["abc"]}], {"foo": ["bar", ["abc"]]}),
    ({"a": 1}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": 1, "b": 1}),
    ({"a": 1}, [{"op": "move", "from": "/a", "path": "/a"}], {"a": 1}),
    ({"a": [1]}, [{"op": "replace", "path": "/a/0", "value": 2}], {"a": [2]}),
    ({"a": [1]}, [{"op": "replace", "path": "/a/1", "value": 2}], None),
    ({"a": [1]}, [{"op": "replace", "path": "/b", "value": 2}], None),
    ({"a": [1]}, [{"op": "add", "path": "/a/01", "value": 2}], None),
    ({"a": [1]}, [{"op": "remove", "path": "/a/-"}], None),
    ({"a": [1]}, [{"op": "remove", "path": "/a/1"}], None),
    ({"a": "x"}, [{"op": "add", "path": "/a/b", "value": 2}], None),
    ({"a": 1}, [{"op": "remove", "path": ""}], None),
    ({"a": 1}, [{"op": "replace", "path": "", "value": [1]}], None),
    ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 1}}], {"b": 1}),
]


@pytest.mark.parametrize(("before", "patch", "after"), EXAMPLES)
def test_the_examples_of_the_rfc(before: Any, patch: list[dict[str, Any]], after: Any) -> None:
    kept = loads(dumps(before))
    if after is None:
        with pytest.raises(InvalidContentError) as caught:
            read_json_patch(patch).applied(before)
        assert caught.value.status == 422
        assert "operation 0" in caught.value.text or patch[0]["path"] == ""
    else:
        assert read_json_patch(patch).applied(before) == after
    assert before == kept


@pytest.mark.parametrize(
    "document",
    [
        {},
        [5],
        [{}],
        [{"op": "append", "path": "/a", "value": 1}],
        [{"op": "add", "path": "/a"}],
        [{"op": "add", "value": 1}],
        [{"op": "move", "path": "/a"}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "add", "path": "/a~2", "value": 1}],
        [{"op": "add", "path": "/a~", "value": 1}],
        [{"op": "add", "path": 5, "value": 1}],
        [{"op": ["add"], "path": "/a", "value": 1}],
        [{"op": "move", "from": "/a", "path": "/a/b"}],
        [{"op": "remove", "path": "/a" * 65}],
        [{"op": "remove", "path": "/a"}] * 1001,
    ],
)
def test_what_is_no_patch(document: Any) -> None:
    with pytest.raises(MalformedError):
        read_json_patch(document)


def test_decimals_stay_as_they_were_sent() -> None:
    before = loads('{"a":{"value":1.10},"b":[1E2]}')
    patch = loads('[{"op":"add","path":"/c","value":2.50},{"op":"copy","from":"/b/0","path":"/b/-"}]')
    assert dumps(read_json_patch(patch).applied(before)) == b'{"a":{"value":1.10},"b":[1E2,1E2],"c":2.50}'


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1.0", "1.00", True),
        ("1", "1.0", True),
        ("1", "true", False),
        ("0", "false", False),
        ('"1"', "1", False),
        ('{"a":1,"b":2}', '{"b":2,"a":1}', True),
        ("[1,2]", "[2,1]", False),
        ("null", "null", True),
        ("null", "false", False),
    ],
)
def test_values_are_compared_as_the_rfc_says(one: str, other: str, same: bool) -> None:
    assert same_value(loads(one), loads(other)) is same


def test_a_few_lines_do_not_double_a_resource_endlessly() -> None:
    doubling = [{"op": "copy", "from": "/a", "path": f"/a/{number}"} for number in range(60)]
    with pytest.raises(InvalidContentError):
        read_json_patch(doubling).applied({"a": {"x": "y" * 1000}})
    deeper = [{"op": "copy", "from": "", "path": "/a" * depth} for depth in range(1, 64)]
    with pytest.raises(InvalidContentError):
        read_json_patch(deeper).applied({"a": {}})
