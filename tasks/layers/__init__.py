"""Results as layers and tables for GIS and data people: one table of columns, five formats, and what describes them."""
