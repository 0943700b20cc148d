"""What generators that are trained from scratch share: examples, the loop, check-points, saving."""
