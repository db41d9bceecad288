"""The training engine: Ray workers, the loop, checkpoints, optimisers. It knows no kind of model.

Start reading at `workers.py`, then `loop.py`; `job.py` has the interface of a task.
"""
