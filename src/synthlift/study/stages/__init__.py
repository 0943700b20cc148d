"""Stage functions: importable, JSON arguments, no closures; workers run nothing else."""
