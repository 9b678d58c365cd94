"""Objects of a lab by key, with versions, immutable views, watch and a durable file."""
