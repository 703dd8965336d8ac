"""Incremental extractors: push samples, pictures or words, get timed feature frames."""
