"""From a mask to measured and graded defects: components, cracks, rust, structures, standards."""
