"""MIAR: what the network sees and how it runs."""
