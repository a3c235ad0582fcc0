"""The first sync: two full systems are compared, an operator chooses, and the engine brings them together."""
