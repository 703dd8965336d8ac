#!/bin/sh
# Plays the demo clip through the live path with its dashboard, then analyses the same clip.
set -eu

cd "$(dirname "$0")/.."
port=${PORT:-8765}
url=http://127.0.0.1:$port/

if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    (sleep 4 && exec .venv/bin/python -m webbrowser "$url" >/dev/null 2>&1) &
fi
echo "Dashboard while the clip plays: $url"
.venv/bin/miar-live --input demo/clip.mp4 --asr sphinx --port "$port"
echo "Now the same clip as a file, as fast as it goes:"
.venv/bin/miar analyze demo/clip.mp4 --asr sphinx --out demo/analysis
echo "What the clip shows, and what was answered:"
.venv/bin/python scripts/demo_summary.py demo/clip.json demo/analysis/results.jsonl
echo "Picture:  demo/analysis/timeline.png"
echo "Summary:  demo/analysis/summary.json"
