"""The examples of docs/protocol.md, run as they stand there."""

import re
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import pytest
from serving_samples import result

from stream.serving import protocol
from stream.serving.server import Server

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")


def example(language: str, port: int) -> str:
    (code,) = re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)
    return str(code).replace("127.0.0.1:8765", f"127.0.0.1:{port}")


def first_line(command: list[str], folder: Path = ROOT) -> str:
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=folder, text=True) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        line = next((line for line in lines if "happiness" in line), "")
        process.kill()
    return line.strip()


def python_example(port: int) -> str:
    code = example("python", port)
    return code.replace("print(", "print(flush=True, *(").replace("confidence)", "confidence))")


def test_the_python_example() -> None:
    with Server(port=0) as server:
        server.publish(result())
        assert first_line([sys.executable, "-c", python_example(server.port)]) == "happiness 0.62"


def test_the_python_client_works_as_one_copied_file(tmp_path: Path) -> None:
    shutil.copy(ROOT / "stream/serving/client.py", tmp_path / "copied.py")
    alone = 'import sys; print(sorted({"stream", "miar_rt", "numpy"} & set(sys.modules)), end=" ")\n'
    with Server(port=0) as server:
        server.publish(result())
        code = python_example(server.port).replace("stream.serving.client", "copied")
        code = code.replace("\n\n\nasync", f"\n{alone}\n\nasync", 1)
        assert first_line([sys.executable, "-c", code], tmp_path) == "[] happiness 0.62"


def node_command() -> list[str]:
    """Node with a WebSocket, or the test is skipped."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    number = tuple(map(int, version.lstrip("v").split(".")[:2]))
    if number < (20, 10):
        pytest.skip(f"node {version} has no WebSocket of its own")
    return [node] if number >= (22, 0) else [node, "--experimental-websocket"]


@pytest.mark.parametrize("name", ["miar-client.js", "miar-client.mjs"])
def test_the_browser_example_in_node(tmp_path: Path, name: str) -> None:
    """In its own folder, and copied as one file."""
    command = node_command()
    overlay = ROOT / "stream/serving/overlay"
    shutil.copy(overlay / "miar-client.js", tmp_path / name)
    if name.endswith(".js"):
        shutil.copy(overlay / "package.json", tmp_path)
    with Server(port=0) as server:
        server.publish(result())
        code = example("js", server.port).replace("./miar-client.js", f"./{name}")
        (tmp_path / "example.mjs").write_text(code, encoding="utf-8")
        assert first_line([*command, "--no-warnings", str(tmp_path / "example.mjs")]) == "happiness 0.62"


@pytest.mark.parametrize("name", [*protocol.CLIENT_TYPES, *protocol.EVENTS])
def test_every_type_is_described(name: str) -> None:
    assert f"`{name}`" in TEXT


@pytest.mark.parametrize("code", typing.get_args(protocol.ErrorCode))
def test_every_error_code_is_described(code: str) -> None:
    assert f"`{code}`" in TEXT
