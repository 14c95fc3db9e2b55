"""What the figures of a data set show: tables and heatmaps in, named figures out; one module per part of a study."""
