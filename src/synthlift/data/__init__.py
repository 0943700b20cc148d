"""From the user's files to an inventory, pixels of one size and a locked, grouped split."""
