"""From `train.algorithm` to code: train, measure again, counting models and blends.

Start reading at `launch.py`.
"""
