"""One trainer for every arm: regimes, losses, calibration."""
