"""Speech recognisers behind one contract: push samples, get committed and partial words."""
