"""Pure statistics: probabilities that mean something, and one person's neutral."""
