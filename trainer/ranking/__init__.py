"""Models that score single impressions: data, training, calibration and figures.

Start reading at `train.py`.
"""
