"""Figures, tables and the HTML report, from a ``Results`` object and a run folder. No torch."""

from synthlift.reporting.gallery import Picture, write_gallery
from synthlift.reporting.html import render, write_report
from synthlift.reporting.summary import summary_text
from synthlift.reporting.table import write_csv

__all__ = ["Picture", "render", "summary_text", "write_csv", "write_gallery", "write_report"]
