"""Where stages run: a process pool on this machine (Ray has a module of its own)."""
