"""MIAR: what the network sees and how it runs."""

import os

# nothing leaves the machine: libraries below would otherwise report their use to their makers
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
