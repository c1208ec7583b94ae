"""Uploads: what arrived, whether it is whole, what became of it; S3, its events and folders, no Prefect."""
