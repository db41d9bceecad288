"""Run what `train.algorithm` names, or measure a model again; fit counting models and blends.

Start reading at `launch.py`.
"""
