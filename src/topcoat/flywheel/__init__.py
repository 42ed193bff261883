"""Captured usage: what an event is, where events are kept, and the ways in which they come."""
