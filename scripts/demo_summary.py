"""Hold what the demo clip shows against what was answered, scene by scene.

Example
-------
    python scripts/demo_summary.py demo/clip.json demo/analysis/results.jsonl
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

NOTE = (
    "Words are known a moment after they were said and count for some seconds more, so answers follow the scenes.\n"
    "The voice is a synthetic one that sounds the same in every mood, which holds the answers near neutral."
)


def answers(results: list[dict[str, Any]], t0: float, t1: float) -> str:
    """The three classes that lead between two media times, with their mean shares, and what was present."""
    within = [result for result in results if t0 <= result["media_time"] < t1]
    scored = [result for result in within if result["emotions"]]
    if not scored:
        return "no score"
    total: Counter[str] = Counter()
    for result in scored:
        total.update(result["emotions"])
    leading = ", ".join(f"{name} {share / len(scored):.0%}" for name, share in total.most_common(3))
    present = {name for result in scored for name, state in result["modalities"].items() if state["present"]}
    return f"{leading}  ({' '.join(name for name in ('text', 'audio', 'vision') if name in present)})"


def main() -> None:
    """Print a line a scene."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("script", type=Path, help="what scripts/make_demo_clip.py wrote beside the clip")
    parser.add_argument("results", type=Path)
    asked = parser.parse_args()
    results = [json.loads(line) for line in asked.results.read_text().splitlines()]
    for scene in json.loads(asked.script.read_text()):
        print(f"{scene['t0']:6.1f} s  {scene['scene']:25} {answers(results, scene['t0'], scene['t1'])}")
    print(NOTE)


if __name__ == "__main__":
    main()
