"""Corpora, simulation of live signals, fitting and evaluation."""
