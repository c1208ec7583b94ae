"""Reports: records in; HTML, JSON, GeoJSON and CSV text out. Pure rendering: no orchestration, no storage."""
