"""The pages say what is true: links, commands, targets, settings, and the pages that the code writes itself."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperCommand, TyperGroup

from interop.cli import app
from interop.settings import CONFIG_VARIABLE, Settings
from setup.pages import PAGES

ROOT = Path(__file__).resolve().parents[3]
BOOKS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SCRIPTS = [ROOT / name for name in ("Makefile", "Dockerfile", "docker-compose.yml", ".ci/run")]
TEST_VARIABLES = {"INTEROP_CORPUS"}
HTTP_DOORS = ("fhir_api", "dicomweb", "viewer", "imaging_api", "console", "auth", "health")
Command = TyperCommand | TyperGroup


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def code(page: Path) -> Iterator[str]:
    """What stands in fences and between backticks."""
    text = page.read_text()
    fences = re.findall(r"^ *```[^\n]*\n(.*?)^ *```", text, re.M | re.S)
    yield from fences
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```", "", text, flags=re.M | re.S))


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", BOOKS, ids=shown)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), target
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked), target


def test_every_page_is_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        for target in re.findall(r"\]\(([^)#\s]+\.md)", page.read_text()):
            if not target.startswith("http"):
                waiting.append((page.parent / target).resolve())
    assert {shown(page) for page in set(BOOKS) - seen} == set()


def subcommands(command: Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Command]]:
    yield path, command
    if isinstance(command, TyperGroup):
        for name, child in command.commands.items():
            assert isinstance(child, Command)
            yield from subcommands(child, (*path, name))


@pytest.fixture(scope="module")
def commands() -> dict[tuple[str, ...], Command]:
    return dict(subcommands(typer.main.get_command(app)))


@pytest.mark.parametrize("page", [*BOOKS, *SCRIPTS], ids=shown)
def test_interop_commands_exist_with_their_options(page: Path, commands: dict[tuple[str, ...], Command]) -> None:
    pieces = code(page) if page.suffix == ".md" else [page.read_text()]
    for piece in pieces:
        joined = piece.replace("\\\n", " ")
        for line in re.findall(r"(?:^|(?<=bin/)|(?<=[`;(&| ]))interop ((?:[a-z0-9-]+ ?)[^\n|;)#`]*)", joined, re.M):
            words = line.split()
            path: tuple[str, ...] = ()
            while words and (*path, words[0]) in commands:
                path = (*path, words.pop(0))
            if not path and not piece.startswith("interop "):
                continue  # prose, a path or a compose key that happens to follow the name
            assert path, f"interop {line}"
            command = commands[path]
            if isinstance(command, TyperGroup):
                assert not [word for word in words if re.fullmatch(r"[a-z]+", word)], f"interop {line}"
            options = {name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]}
            for option in re.findall(r"(?<![\w-])--[a-z-]+", " ".join(words)):
                assert option in options, f"interop {' '.join(path)} {option}"


def test_every_command_is_documented(commands: dict[tuple[str, ...], Command]) -> None:
    text = "\n".join(page.read_text() for page in BOOKS)
    for path, command in commands.items():
        if path and not isinstance(command, TyperGroup):
            assert f"interop {' '.join(path)}" in text, path
            assert command.help, path


@pytest.mark.parametrize("page", [*BOOKS, ROOT / ".ci/run"], ids=shown)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    pieces = list(code(page)) if page.suffix == ".md" else [page.read_text()]
    named = {name for piece in pieces for name in re.findall(r"(?:^|[`;&] ?)make ([a-z-]+)", piece, re.M)}
    assert named - targets == set()


def test_every_target_is_in_the_help() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    printed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"^  make (\S+)", printed, re.M)) == targets
    phony = set(re.search(r"^\.PHONY: (.+)$", makefile, re.M).group(1).split())  # type: ignore[union-attr]
    assert phony == targets


@pytest.mark.parametrize("page", BOOKS, ids=shown)
def test_settings_named_in_pages_exist(page: Path) -> None:
    known = {f"INTEROP_{name.upper()}" for name in Settings.model_fields} | {CONFIG_VARIABLE} | TEST_VARIABLES
    assert set(re.findall(r"\bINTEROP_[A-Z][A-Z_]+[A-Z]\b", page.read_text())) - known == set()


@pytest.mark.parametrize("name", PAGES)
def test_pages_that_the_code_writes_are_current(name: str) -> None:
    assert (ROOT / name).read_text() == PAGES[name](), "make pages"


def test_every_setting_is_on_its_page() -> None:
    page = (ROOT / "docs/reference/settings.md").read_text()
    for name, field in Settings.model_fields.items():
        assert f"| `INTEROP_{name.upper()}` | `{name}` |" in page
        assert field.description, name


def test_every_route_is_documented() -> None:
    """Paths as the doors declare them, read from their source, so that a new one is noticed."""
    page = (ROOT / "docs/reference/api.md").read_text()
    sources = [path for door in HTTP_DOORS for path in (ROOT / "interop" / door).rglob("*.py")]
    declared = {route for path in sources for route in re.findall(r'\bRoute\(\s*f?"([^"]+)"', path.read_text())}
    declared -= {"/{path:path}", "/fhir"}  # the viewer's files, and the base that stands for what is below it
    assert len(declared) > 12
    for route in declared:
        path = route.replace("{ROOT}/{{rest:path}}", "/dicom-web/{path}").replace(":path}", "}")
        assert f"{path}`" in page, route


@pytest.mark.parametrize("page", BOOKS, ids=shown)
def test_files_named_in_pages_exist(page: Path) -> None:
    inside = re.compile(r"(?:^|[ `(])((?:interop|tests|setup|docs|orthanc|mappings|ohif)/[\w./-]+\w)")
    for piece in code(page):
        if "\n" not in piece:
            for name in inside.findall(piece):
                assert (ROOT / name).exists(), name


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name]


def test_nothing_names_a_package_registry() -> None:
    """Whoever installs uses the index they trust; the locks hold hashes, not places."""
    hosts = re.compile(r"(pythonh[o]sted|py[p]i|npm[j]s|deb\.deb[i]an|maven[.]apache|cr[a]tes)\.(org|io|com)")
    for path in tracked():
        if path.is_file() and (found := hosts.search(path.read_bytes().decode("utf-8", "replace"))):
            pytest.fail(f"{shown(path)}: {found.group()}")


def test_every_decision_has_its_parts() -> None:
    for path in sorted((ROOT / "docs/decisions").glob("[0-9]*.md")):
        text = path.read_text()
        assert re.match(rf"# {path.name[:4]} \S", text), path.name
        for part in ("Context", "Decision", "Consequences"):
            assert f"\n## {part}\n" in text, f"{path.name}: {part}"
