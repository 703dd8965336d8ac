"""The sources a live run listens to: probed when made, opened once nothing about the call can be wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from typing import TypeVar

from stream.clock import CaptureClock
from stream.options import LiveOptions
from stream.recording_format import schema
from stream.sources import AudioSource, Device, NoDefaultDevice, Source, SourceError, VideoSource
from stream.sources.slot import Slot

Some = TypeVar("Some", bound=Source)

OFF = {"camera": "--no-camera", "microphone": "--no-mic"}


class Devices:
    """The sources that were asked for: probed when made, opened by ``open``."""

    def __init__(self, options: LiveOptions, clock: CaptureClock, held: contextlib.ExitStack) -> None:
        self._options = options
        self._which = {"camera": options.camera, "microphone": options.mic}
        self._clock = clock
        self._held = held
        self.video: Slot[VideoSource] | None = None
        self.audio: Slot[AudioSource] | None = None
        self._sees = not options.no_camera and not options.text_only
        self.hears = not options.no_mic
        if options.input:
            from stream.sources.realtime import RealtimeMedia

            self._media = RealtimeMedia(options.input, clock, options.loop, video=self._sees, audio=self.hears)
            self._sees, self.hears = self._media.has_video, self._media.has_audio
        self._need_something()

    @property
    def sees(self) -> bool:
        """Whether there is, or may be, a picture."""
        return self._sees

    @property
    def named(self) -> dict[str, str]:
        """What each modality listens to, for people."""
        options = self._options
        if options.input:
            found = {"vision": options.input.name, "audio": options.input.name}
        else:
            found = {"vision": f"camera {options.camera or 0}", "audio": f"microphone {options.mic or ''}".strip()}
        return {m: name for m, name in found.items() if (self._sees if m == "vision" else self.hears)}

    @property
    def damage(self) -> str | None:
        """One line on what of a file could not be read so far."""
        return self._media.media.damage if self._options.input else None

    def open(self, lines: list[str]) -> None:
        """Open them; a default device that is absent is a warning in ``lines``, one that was named is an error."""
        if self._options.input:
            media = self._held.enter_context(self._media)
            self.video = Slot[VideoSource](media) if self._sees else None
            self.audio = Slot[AudioSource](media) if self.hears else None
            return
        absent: dict[str, str] = {}
        self.video = self._open("camera", self._camera, absent) if self._sees else None
        self.audio = self._open("microphone", self._microphone, absent) if self.hears else None
        self._sees, self.hears = self.video is not None, self.audio is not None
        self._need_something(absent.values())
        lines.extend(f"warning: {reason}; {OFF[kind]} leaves it out" for kind, reason in absent.items())

    def choose(self, device: Device) -> None:
        """Use another device of the same kind from now on; ``ValueError`` where none of that kind is used."""
        slot = self.video if device.kind == "camera" else self.audio
        if slot is None or not slot.device:
            raise ValueError(f"this session uses no {device.kind}: it was started without, or plays a file")
        self._which[device.kind] = device.identifier
        slot.renew()

    def _need_something(self, absent: Collection[str] = ()) -> None:
        if not self._sees and not self.hears:
            why = f" ({'; '.join(absent)})" if absent else ""
            raise SourceError(
                f"nothing to look at or listen to{why}: connect a camera or a microphone, or play a file with "
                "--input FILE"
            )

    def _keep_to(self, kind: str, identifier: str) -> None:
        """Take the same device again after a replug, which can change numbers and which one is the first.

        Which microphone is the default is for the sound server to say, and a URL is its own identifier.
        """
        which = self._which[kind]
        if "://" not in (which or "") and (which is not None or kind == "camera"):
            self._which[kind] = identifier

    def _camera(self) -> VideoSource:
        from stream.sources.camera import Camera

        return Camera(self._which["camera"], self._clock)

    def _microphone(self) -> AudioSource:
        from stream.sources.microphone import Microphone

        return Microphone(self._which["microphone"], self._clock)

    def _open(self, kind: str, make: Callable[[], Some], absent: dict[str, str]) -> Slot[Some] | None:
        source = make()
        try:
            source.__enter__()
        except NoDefaultDevice as error:
            absent[kind] = str(error)
            return None
        self._keep_to(kind, source.identifier)
        slot = Slot(source, make)
        self._held.callback(slot.close)
        return slot


def warm_up(devices: Devices, recording: bool) -> None:
    """Load what is slow to load before anything is captured, so that no sound waits for it."""
    from miar_rt.features.face import FaceExtractor
    from stream.senses import Hearing

    if devices.sees:
        FaceExtractor().close()
    if devices.hears:
        Hearing().acoustic.close()
    if recording:
        schema()
