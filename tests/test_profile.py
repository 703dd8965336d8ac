"""Profiles: nothing but statistics, for their owner's eyes, and one line for whatever is wrong with one."""

from __future__ import annotations

import contextlib
import json
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cli_runs import Outcome, run
from hypothesis import given
from hypothesis import strategies as st
from media_makers import write_wav

from calibration.baseline import Neutral
from calibration.profile import DAY, NAME_RULE, Profile, ProfileError, Profiles, checked_name
from miar_rt.neutral import inputs_name, population

WIDTHS = {"audio": 3, "vision": 2}
INPUTS = "1-abc"


def neutral(width: int, seconds: float = 12.5) -> Neutral:
    location = np.linspace(-1.0, 2.0, width)
    location[0] = np.nan
    return Neutral(location, np.where(np.isnan(location), np.nan, 0.5), np.full(width, seconds))


def profile(name: str = "ann", created: float = 1_763_630_000.0) -> Profile:
    return Profile(name, created, INPUTS, {"audio": neutral(3), "vision": neutral(2)})


@pytest.fixture
def store(tmp_path: Path) -> Profiles:
    return Profiles(tmp_path / "profiles")


def test_a_profile_comes_back_as_it_was_stored(store: Profiles) -> None:
    path = store.save(profile())
    found = store.load("ann", WIDTHS, INPUTS)
    assert (found.name, found.created, found.inputs) == ("ann", 1_763_630_000.0, INPUTS)
    for modality, one in profile().neutral.items():
        again = found.neutral[modality]
        assert np.allclose(again.location, one.location, equal_nan=True, rtol=1e-5)
        assert np.allclose(again.spread, one.spread, equal_nan=True)
        assert again.seconds.tolist() == one.seconds.tolist()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700


def test_only_statistics_are_in_the_file(store: Profiles) -> None:
    document = json.loads(store.save(profile()).read_text())
    assert set(document) == {"format", "version", "created", "inputs", "neutral"}
    assert {tuple(part) for part in document["neutral"].values()} == {("location", "spread", "seconds")}


def test_what_another_program_made_meanwhile_is_kept(store: Profiles) -> None:
    since = store.stamp("ann")
    assert since == 0
    store.save(profile(), since)
    with pytest.raises(ProfileError, match="another program has made profile 'ann' meanwhile, which is kept"):
        store.save(profile(created=1.0), since)
    assert store.load("ann", WIDTHS, INPUTS).created == 1_763_630_000.0
    since = store.stamp("ann")
    store.delete("ann")
    store.save(profile(created=1.0), since)
    assert store.load("ann", WIDTHS, INPUTS).created == 1.0


def test_many_at_once_leave_one_whole_profile(store: Profiles) -> None:
    store.make_folder()
    (store.folder / ".profile-killed").write_text("half")
    stored: list[float] = []

    def write(number: int) -> None:
        with contextlib.suppress(ProfileError):
            store.save(profile(created=float(number)), 0)
            stored.append(float(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    (winner,) = stored
    assert store.load("ann", WIDTHS, INPUTS).created == winner
    assert [path.name for path in store.folder.iterdir()] == ["ann.json"]


def test_storing_again_replaces_and_leaves_nothing_else(store: Profiles) -> None:
    store.save(profile())
    store.save(replace(profile(), created=5.0))
    assert store.load("ann", WIDTHS, INPUTS).created == 5.0
    assert [path.name for path in store.folder.iterdir()] == ["ann.json"]


@pytest.mark.parametrize("name", ["a", "Ann Lee", "x.y-z_1", "été", "Нина", "नीता", "日本", "7", "a" * 64])
def test_names_that_can_be(store: Profiles, name: str) -> None:
    store.save(profile(name))
    assert store.names() == [checked_name(name)]
    assert store.load(name, WIDTHS, INPUTS).name == checked_name(name)
    store.delete(name)
    assert store.names() == []


def test_one_name_however_its_accent_is_written(store: Profiles) -> None:
    store.save(profile("e\u0301te"))
    assert store.load("\u00e9te", WIDTHS, INPUTS).name == "\u00e9te"


BAD_NAMES = (
    "", " ", "a/b", "../a", "a\\b", ".ann", "..", "x" * 65, "é" * 300, "😀", "a\nb", "a\0b", "a:b", "𐍈" * 64
)  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_cannot_be(store: Profiles, name: str) -> None:
    for attempt in (lambda: store.save(profile(name)), lambda: store.load(name, WIDTHS, INPUTS)):
        with pytest.raises(ProfileError, match="cannot be a profile's name") as caught:
            attempt()
        assert NAME_RULE in str(caught.value)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300
    assert not store.folder.exists()


@given(st.text(max_size=80))
def test_any_name_is_taken_or_refused_in_one_line(name: str) -> None:
    try:
        good = checked_name(name)
    except ProfileError as error:
        good, complaint = "", str(error)
    else:
        complaint = "none"
    assert len(complaint.splitlines()) == 1
    assert "/" not in good
    assert not good.startswith(".")


def edited(change: Callable[[dict[str, object]], None]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return spoil


def shorter(document: dict[str, object]) -> None:
    document["neutral"]["audio"]["spread"].pop()  # type: ignore[index]


def negative(document: dict[str, object]) -> None:
    document["neutral"]["audio"]["spread"][1] = -1.0  # type: ignore[index]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:40]), "damaged"),
        (lambda path: path.write_text(""), "damaged"),
        (lambda path: path.write_bytes(b"\xff\xfe\0junk"), "damaged"),
        (lambda path: path.write_text("[" * 100_000), "damaged"),
        (lambda path: path.write_bytes(b" " * (1 << 23)), "too large"),
        (edited(lambda d: d.update(format="other")), "format other 1"),
        (edited(lambda d: d.update(version=2)), "this program reads miar-profile 1"),
        (edited(lambda d: d.update(inputs="2-def")), "other input channels"),
        (edited(lambda d: d.update(neutral={})), "no modality"),
        (edited(lambda d: d.update(created=-1.0)), "date"),
        (edited(lambda d: d["neutral"].update(smell={"location": [], "spread": [], "seconds": []})), "channels"),  # type: ignore[union-attr, attr-defined]
        (edited(shorter), "as long as"),
        (edited(negative), "no statistics"),
    ],
)
def test_a_profile_that_cannot_be_used_says_so_in_one_line(
    store: Profiles, spoil: Callable[[Path], None], says: str
) -> None:
    spoil(store.save(profile()))
    with pytest.raises(ProfileError, match=says) as caught:
        store.load("ann", WIDTHS, INPUTS)
    assert "'ann'" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert store.names() == ["ann"]


def test_a_missing_one_names_the_command(store: Profiles) -> None:
    with pytest.raises(ProfileError, match=r"^no profile 'ann'; there is none yet$"):
        store.load("ann", WIDTHS, INPUTS)
    store.save(profile("bob"))
    with pytest.raises(ProfileError, match="there is bob"):
        store.delete("ann")


def test_after_90_days_it_warns() -> None:
    one = profile(created=0.0)
    assert one.warning(90 * DAY) is None
    assert "'ann' is 91 days old" in str(one.warning(91 * DAY))
    assert profile(created=9e9).age_days(0.0) == 0.0


def test_export_copies_and_overwrites_nothing(store: Profiles, tmp_path: Path) -> None:
    path = store.save(profile())
    target = tmp_path / "copy.json"
    store.export("ann", target)
    assert target.read_bytes() == path.read_bytes()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    for wrong in (target, tmp_path, tmp_path / "no" / "where.json"):
        with pytest.raises(ProfileError, match=r"there already|cannot write"):
            store.export("ann", wrong)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "profiles").write_text("a file in the way")
    store = Profiles(tmp_path / "profiles")
    with pytest.raises(ProfileError, match="cannot write profiles into"):
        store.save(profile())
    assert store.names() == []


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profiles:
    """A profile that fits the input table in use, where the commands look for it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    store = Profiles()
    assert store.folder == tmp_path / "miar-live" / "profiles"
    location = population()["audio"].location
    kept = Neutral(location, np.where(np.isnan(location), np.nan, 1.0), np.full(len(location), 9.0))
    store.save(Profile("ann", 1_763_630_000.0, inputs_name(), {"audio": kept}))
    return store


def test_the_commands(stored: Profiles, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (stored.folder / "bad.json").write_text("{}")
    listed = run(capfd, "miar", "profiles", "list")
    assert listed.code == 0
    first, second = listed.out.splitlines()
    assert first.split() == ["ann", "2025-11-20", "9.0", "s", "of", "voice"]
    assert "bad" in second
    assert "damaged" in second
    entries = json.loads(run(capfd, "miar", "profiles", "list", "--json").out)
    assert [entry["name"] for entry in entries] == ["ann", "bad"]
    shown = json.loads(run(capfd, "miar", "profiles", "show", "ann", "--json").out)
    assert shown["seconds"] == {"audio": 9.0}
    assert shown["path"] == str(stored.path("ann"))
    assert "9.0 s of voice" in run(capfd, "miar", "profiles", "show", "ann").out
    assert run(capfd, "miar", "profiles", "export", "ann", tmp_path / "a.json").code == 0
    assert run(capfd, "miar", "profiles", "delete", "ann") == Outcome(0, "deleted profile ann\n", "")
    assert stored.names() == ["bad"]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (["profiles", "delete", "bob"], "no profile 'bob'; there is ann\n"),
        (["profiles", "show", "bob"], "no profile 'bob'; there is ann\n"),
        (["profiles", "export", "bob", "x.json"], "no profile 'bob'; there is ann\n"),
        (["profiles", "show", "a/b"], "cannot be a profile's name"),
        (["profiles", "show", "b" * 300], "it has 300 characters"),
        (["calibrate", "--profile", "😀", "--input", "x.mp4"], "cannot be a profile's name"),
        (["calibrate", "--profile", ""], "--profile is empty"),
        (["calibrate"], "missing option '--profile'"),
        (["profiles"], "missing command"),
        (["calibrate", "--profile", "ann", "--seconds", "2"], "--seconds must be 5 to 300"),
        (["calibrate", "--profile", "ann", "--seconds", "nan"], "--seconds must be 5 to 300"),
        (["calibrate", "--profile", "ann", "--no-camera", "--no-mic"], "nothing to look at or listen to"),
        (["calibrate", "--profile", "ann", "--input", "nowhere.mp4"], "nowhere.mp4"),
        (["calibrate", "--profile", "ann", "--input", "nowhere.mp4", "--camera", "0"], "exclude each other"),
        (["calibrate", "--profile", "ann", "--camera", "the moon", "--no-mic", "--accept-notice"], "the moon"),
    ],
)
def test_wrong_calls_end_in_one_line(
    stored: Profiles, capfd: pytest.CaptureFixture[str], call: list[str], says: str
) -> None:
    before = stored.path("ann").read_bytes()
    said = run(capfd, "miar", *call)
    assert said.code == 2
    assert said.out == ""
    assert says.lower() in f"{said.err.splitlines()[-1]}\n".lower()
    assert len([line for line in said.err.splitlines() if not line.startswith("engine ")]) == 1
    assert stored.path("ann").read_bytes() == before


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("program", ["miar", "miar-live"])
def test_a_run_with_a_profile_that_is_not_there(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, random_checkpoint_folder: Path, program: str
) -> None:
    sound = write_wav(tmp_path / "t.wav", np.full((8000, 1), 99, np.int16), 16_000)
    call = ["analyze", sound, "--out", tmp_path / "out"] if program == "miar" else ["--input", sound, "--no-server"]
    said = run(capfd, program, *call, "--asr", "off", "--checkpoint", random_checkpoint_folder, "--profile", "bob")
    assert said.code == 2
    assert said.err == f"{program}: no profile 'bob'; there is ann: make it with miar calibrate --profile bob\n"
    assert not (tmp_path / "out").exists()
