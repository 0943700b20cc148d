"""What is wrong with the data: one file a subject, functions over arrays and tables."""
