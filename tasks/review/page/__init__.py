"""The local page on which a person decides: FastAPI on uvicorn, which Prefect brings along; no request leaves it."""
