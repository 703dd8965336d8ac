"""One file an engine; ``choose`` walks the ladder."""
