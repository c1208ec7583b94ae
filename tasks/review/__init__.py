"""A person's word on a run: decisions beside it, the page they are made on, the report that is issued anew."""
