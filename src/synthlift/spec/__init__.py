"""The study file and the results file as pydantic models. No torch here."""
