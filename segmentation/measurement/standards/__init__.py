"""Tables of grading standards, one YAML file each; read by `segmentation.measurement.grading`."""
