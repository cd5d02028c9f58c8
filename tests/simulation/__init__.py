"""Handrail on a simulated clock, network, desks and store: everything that can go wrong, drawn by a seed."""
