"""The Dask cluster that carries the blocks: how it is reached, what its workers must have, how work is handed out."""

from tasks.cluster.client import GPU, dask_client, inference_resources
from tasks.cluster.waves import run_each

__all__ = ["GPU", "dask_client", "inference_resources", "run_each"]
