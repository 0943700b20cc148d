"""Classifiers by kind; each module builds one network from its Config."""
