"""Metrics, intervals, verdicts: sees tables and arrays only.

``predictions`` reads and checks the table, ``panels`` makes arrays of it, ``metrics`` scores them,
``crossed`` and ``crossvalidated`` give intervals, ``verdict`` and ``words`` judge and speak,
``selection`` chooses on validation, ``outcome`` puts the whole answer together.
"""
