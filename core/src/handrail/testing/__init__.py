"""Tools for authors: the connector kit, simulated desks, a settable clock, samples."""
