"""The science of spanscan: arrays in, arrays and records out.

Nothing below this package knows of Prefect, Dask, S3 or a Zarr store; `flows` and `tasks` do.
"""
