"""Each floor of the house imports only from the floors below it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "calibration": {"calibration"},
    "miar_rt": {"miar_rt", "calibration"},
    "stream": {"stream", "miar_rt", "calibration"},
}
OURS = {*ALLOWED, "scripts", "tests"}
HEAVY = {
    "av", "ctranslate2", "cv2", "faster_whisper", "matplotlib", "mediapipe", "onnx", "onnxruntime", "opensmile",
    "pocketsphinx", "pyarrow", "pyaudio", "torch",
}  # fmt: skip


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(tree: ast.AST) -> set[str]:
    """Top-level names of absolute imports anywhere under a node."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_a_package_imports_only_from_its_own_floor_and_below(package: str) -> None:
    assert modules(package)
    wrong = {
        str(path.relative_to(ROOT)): sorted(strange)
        for path in modules(package)
        if (strange := (imported(ast.parse(path.read_text())) & OURS) - ALLOWED[package])
    }
    assert wrong == {}


def loaded_at_import(path: Path) -> set[str]:
    """Modules of ours, dotted, and top-level names of others, that importing a file loads at once."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def file_of(module: str) -> Path | None:
    path = ROOT / module.replace(".", "/")
    return next((one for one in (path.with_suffix(".py"), path / "__init__.py") if one.is_file()), None)


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    entry = ROOT / "stream" / "cli.py"
    waiting, seen, heavy = [entry], set(), {}
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        names = loaded_at_import(path)
        if found := {name.split(".")[0] for name in names} & HEAVY:
            heavy[str(path.relative_to(ROOT))] = sorted(found)
        waiting += [ours for name in names if name.split(".")[0] in ALLOWED and (ours := file_of(name))]
    assert heavy == {}
