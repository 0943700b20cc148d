"""Jobs: ``synthlift`` commands in processes of their own, kept in a table that survives a kill."""
