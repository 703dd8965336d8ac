"""Everything that moves in real time."""
