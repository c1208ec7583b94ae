"""One stage each: storage, Dask, Zarr and the reports around the science of `segmentation`."""
