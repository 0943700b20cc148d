"""Contract suites that built-in and third-party components must pass."""
