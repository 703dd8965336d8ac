"""What a shell offers after an option, given what was typed so far. Keys wait for it: heavy imports stay out."""

from __future__ import annotations

from collections.abc import Iterable

RECOGNISERS = ("auto", "whisper", "sphinx", "off")
CORPORA = ("ravdess", "fer2013", "meld", "mosi", "mosei", "mosi-features")


def _begun(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def engines(incomplete: str) -> list[str]:
    """Names of engines."""
    from miar_rt.engines.choose import NAMES

    return _begun(NAMES, incomplete)


def recognisers(incomplete: str) -> list[str]:
    """Speech recognisers."""
    return _begun(RECOGNISERS, incomplete)


def corpora(incomplete: str) -> list[str]:
    """Corpora of ``miar evaluate``."""
    return _begun(CORPORA, incomplete)


def profiles(incomplete: str) -> list[str]:
    """Profiles that are stored."""
    from calibration.profile import Profiles

    return _begun(Profiles().names(), incomplete)
