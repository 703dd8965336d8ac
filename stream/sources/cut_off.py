"""Sound files that lack their end, where FFmpeg does not notice: by what the formats themselves say of it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from stream.sources.decoding import opened

_ENDLESS = 0x7FFF_0000
"""Programs that do not know the length yet write one from here on into a WAV's header."""

_OGG_PAGE, _LAST_PAGE = 1 << 16, 4
_MPEG_1 = 3
_HALVINGS = {_MPEG_1: 0, 2: 1, 0: 2}
"""Of the rate of sound, by the version of MPEG: 1, 2 and 2.5."""

_KILOBITS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KILOBITS_2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_HERTZ = (44_100, 48_000, 32_000)


def lacks_its_end(path: Path) -> bool:
    """Whether a WAV, Ogg or MP3 file was cut off; ``False`` for other formats."""
    with opened(path) as container:
        look = _LOOKS.get(container.format.name)
    if look is None:
        return False
    with path.open("rb") as file:
        return look(file, path.stat().st_size)


def _wav(file: BinaryIO, length: int) -> bool:
    """Its header tells the length of the sound."""
    if file.read(12)[:4] != b"RIFF":
        return False
    while len(head := file.read(8)) == 8:
        size = int.from_bytes(head[4:], "little")
        if head[:4] == b"data":
            return file.tell() + size > length + 1 and size < _ENDLESS
        file.seek(size + size % 2, io.SEEK_CUR)
    return False


def _ogg(file: BinaryIO, length: int) -> bool:
    """Its last page says that it is, and is whole."""
    file.seek(max(length - 2 * _OGG_PAGE, 0))
    tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27 or len(page) < 27 + page[26]:
        return True
    return not page[5] & _LAST_PAGE or len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]])


def _mp3(file: BinaryIO, length: int) -> bool:  # noqa: ARG001 - as the others
    """Its last frame is whole, whose header tells how long it is."""
    last = b""
    with opened(Path(file.name)) as container:
        for packet in container.demux(audio=0):
            last = bytes(packet) or last
    return len(last) < _frame_length(last[:4])


def _frame_length(head: bytes) -> int:
    """Bytes of an MPEG frame of layer III; 0 where it is none."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return 0
    version, rate, hertz = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version not in _HALVINGS or rate in {0, 15} or hertz == 3:
        return 0
    kilobits = (_KILOBITS if version == _MPEG_1 else _KILOBITS_2)[rate - 1]
    bytes_a_kilobit = 144_000 if version == _MPEG_1 else 72_000
    return bytes_a_kilobit * kilobits // (_HERTZ[hertz] >> _HALVINGS[version]) + (head[2] >> 1 & 1)


_LOOKS: dict[str, Callable[[BinaryIO, int], bool]] = {"wav": _wav, "ogg": _ogg, "mp3": _mp3}
