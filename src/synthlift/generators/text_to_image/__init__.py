"""Pretrained text-to-image pipelines, prompted by class and attributes."""
