"""Delivery as a state machine: whatever happens in whatever order, every EHR ends with exactly what it is owed."""
