"""Images that were made elsewhere, as a generator."""
