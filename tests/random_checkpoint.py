"""A checkpoint with random weights, small enough to make in a test."""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache

import numpy as np
import torch

from calibration.temperature import Temperatures
from miar_rt.checkpoint import Checkpoint
from miar_rt.engines.export import trace_network
from miar_rt.features.text import EXTRACTOR
from miar_rt.input_spec import SPEC
from miar_rt.network import Miar, MiarConfig
from miar_rt.window import ChannelStatistics

SMALL = MiarConfig(width=32, heads=4, feedforward=48, audio_layers=1)


@lru_cache(1)
def random_checkpoint() -> Checkpoint:
    torch.manual_seed(7)
    network = Miar(SMALL, SPEC)
    generator = np.random.default_rng(7)
    statistics = {
        name: ChannelStatistics(
            generator.normal(size=width).astype(np.float32), generator.uniform(0.5, 2.0, width).astype(np.float32)
        )
        for name, width in SPEC.widths.items()
    }
    return Checkpoint(
        name="random-1",
        spec=SPEC,
        config=asdict(SMALL),
        state={name: value.numpy() for name, value in network.state_dict().items()},
        statistics=statistics,
        temperatures=Temperatures({"text": 1.25, "text+audio+vision": 0.8}),
        interval_factor=1.6,
        graph=trace_network(asdict(SMALL), SPEC),
        extractors={"text": EXTRACTOR},
        corpora={"samples": {"ravdess": 1440}},
        scores={"uar": 0.61},
    )
