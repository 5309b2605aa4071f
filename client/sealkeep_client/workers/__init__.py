"""A worker process: plain functions run beside this process, on another core, while this one uses the store.

The functions are pure, so that whoever cannot have a worker, or loses it, makes the same call itself.
"""

from sealkeep_client.workers._worker import Task, Worker, WorkerLostError

__all__ = ["Task", "Worker", "WorkerLostError"]
