"""Write ``miar_rt/features/minilm.onnx``: MiniLM-L6's graph without its weights, dynamic in length.

Parameters keep the names of the published safetensors file, so a session takes them as they are. Needs the extra
``train``:  python scripts/export_minilm_graph.py
"""

from __future__ import annotations

from pathlib import Path

import torch

from miar_rt.engines.weightless import export_graph
from miar_rt.input_spec import TOKEN_WIDTH
from miar_rt.training.minilm import MiniLm

OUT = Path(__file__).parents[1] / "miar_rt/features/minilm.onnx"


def main() -> None:
    """Trace the network with random weights and write its graph."""
    graph = export_graph(MiniLm(), {"words": torch.randn(7, TOKEN_WIDTH)}, ["embeddings"], {"words": {0: "tokens"}})
    OUT.write_bytes(graph.model)
    print(f"{OUT.name}: {len(graph.model) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
