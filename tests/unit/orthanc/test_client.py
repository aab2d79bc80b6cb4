"""Whatever keeps the archive from answering is one error, and its credentials go nowhere else."""

import json
from collections.abc import Callable

import httpx
import pytest

from interop.errors import NotFoundError, UnavailableError
from interop.orthanc.client import ArchiveUnavailableError, OrthancClient

Answer = Callable[[httpx.Request], httpx.Response]


def client(answer: Answer) -> OrthancClient:
    return OrthancClient("http://127.0.0.1:8042/", "interop", "s3cret", transport=httpx.MockTransport(answer))


async def test_changes_are_asked_for_by_page() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == "http://127.0.0.1:8042/changes?since=7&limit=100"
        assert request.headers["accept-encoding"] == "identity"
        return httpx.Response(200, json={"Changes": [], "Done": True, "Last": 7})

    async with client(answer) as archive:
        assert (await archive.changes(7, 100))["Done"] is True


async def test_many_resources_are_one_request() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/tools/bulk-content"
        assert json.loads(request.content) == {
            "Resources": ["a", "b"],
            "Metadata": True,
            "Short": True,
            "Level": "Instance",
        }
        return httpx.Response(200, json=[{"ID": "a"}])

    async with client(answer) as archive:
        assert await archive.resources(["a", "b"], "Instance") == [{"ID": "a"}]


def raising(error: Exception) -> Answer:
    def answer(_request: httpx.Request) -> httpx.Response:
        raise error

    return answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (raising(httpx.ConnectError("refused")), "does not answer"),
        (raising(httpx.ReadTimeout("slow")), "does not answer"),
        (raising(httpx.RemoteProtocolError("half")), "does not answer"),
        (lambda _request: httpx.Response(401), "user or password"),
        (lambda _request: httpx.Response(500), "answered 500"),
        (lambda _request: httpx.Response(302, headers={"Location": "http://evil.example/"}), "answered 302"),
        (lambda _request: httpx.Response(200, text="<html>"), "not JSON"),
        (lambda _request: httpx.Response(200, json=[]), "not an object"),
    ],
)
async def test_no_answer_is_one_error(answer: Answer, said: str) -> None:
    async with client(answer) as archive:
        with pytest.raises(ArchiveUnavailableError, match=said) as caught:
            await archive.system()
    assert isinstance(caught.value, UnavailableError)
    assert caught.value.retry_after is not None
    assert "s3cret" not in str(caught.value)


async def test_what_is_gone_is_none_or_not_found() -> None:
    async with client(lambda _request: httpx.Response(404)) as archive:
        assert await archive.tags("abc-def") is None
        with pytest.raises(NotFoundError):
            await archive.delete_study("abc")


@pytest.mark.parametrize("part", ["../system", "a/b", "", "a?b", "a%2f"])
async def test_an_id_never_changes_the_path(part: str) -> None:
    async with client(lambda _request: httpx.Response(200, json={})) as archive:
        with pytest.raises(ValueError, match="not an id"):
            await archive.tags(part)
