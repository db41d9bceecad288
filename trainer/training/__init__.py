"""The training engine for any kind of model: Ray workers, the loop, checkpoints, optimisers.

Start reading at `workers.py`, then `loop.py`; `job.py` has the interface of a task.
"""
