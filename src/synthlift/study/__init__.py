"""Composes everything: the driver, decisions, targets, the opening of the test, executors."""
