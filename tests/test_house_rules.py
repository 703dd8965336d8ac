"""The rules of the house, as far as a program can check them."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PACKAGES = ("calibration", "miar_rt", "stream")
Function = ast.FunctionDef | ast.AsyncFunctionDef
MACHINE_PATHS = re.compile(r"""(?<![\w.$}])/(?:home|root|Users|mnt|media|opt|srv)/[A-Za-z0-9_.]+""")


def in_repository() -> list[Path]:
    """Tracked files where git knows them, else all text files that are not made."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0 and listed.stdout:
        return [path for line in listed.stdout.splitlines() if (path := ROOT / line).is_file()]
    folders = (*PACKAGES, "scripts", "tests", "docs", "constraints")
    return [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@lru_cache
def functions(*folders: str) -> list[tuple[str, Function]]:
    """Every function with where it stands."""
    return [
        (f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node)
        for path in sources(*folders)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def length(function: Function) -> int:
    """Lines of the body without the docstring, the signature counted as one."""
    body = function.body
    documented = isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
    body = body[1:] if documented and len(body) > 1 else body
    return 1 + (body[-1].end_lineno or 0) - body[0].lineno + 1


def test_no_function_is_longer_than_60_lines() -> None:
    everywhere = functions(*PACKAGES, "scripts", "tests")
    assert [where for where, one in everywhere if (one.end_lineno or 0) - one.lineno + 1 > 60] == []


def test_half_of_the_functions_have_fewer_than_ten_lines() -> None:
    assert statistics.median(length(one) for _, one in functions(*PACKAGES)) < 10


def test_no_file_is_longer_than_400_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in in_repository()
        if path.suffix in {".py", ".sh", ".js", ".css", ".html", ".md"}
        and (lines := len(path.read_text().splitlines())) > 400
    }
    assert long == {}


def unannotated(function: Function) -> list[str]:
    """Names of parameters without a type; ``return`` where what is given back has none."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    named += [one for one in (arguments.vararg, arguments.kwarg) if one]
    missing = [one.arg for one in named if one.annotation is None and one.arg not in {"self", "cls"}]
    return missing if function.returns is not None else [*missing, "return"]


def test_every_function_is_annotated() -> None:
    bare = {where: missing for where, one in functions(*PACKAGES, "scripts") if (missing := unannotated(one))}
    assert bare == {}


def test_no_file_names_a_path_of_one_machine() -> None:
    found = {}
    for path in in_repository():
        if path == Path(__file__).resolve() or path.suffix in {".safetensors", ".onnx", ".png", ".npz", ".mp4"}:
            continue
        try:
            hits = MACHINE_PATHS.findall(path.read_text())
        except UnicodeDecodeError:
            continue
        if hits:
            found[str(path.relative_to(ROOT))] = hits
    assert found == {}


@pytest.mark.parametrize("bad", ["/home/ann/x", "open('/root/data')", "cd /Users/ann"])
def test_the_search_for_paths_finds_them(bad: str) -> None:
    assert MACHINE_PATHS.search(bad)


def test_the_readme_is_short_and_starts_with_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) < 150
    assert "make demo" in readme
    assert "make test" in readme


def test_every_package_directory_is_installed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }
    assert set(listed) == found


def test_every_package_has_its_init_file() -> None:
    folders = {path.parent for path in sources(*PACKAGES)}
    assert [str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").is_file()] == []
