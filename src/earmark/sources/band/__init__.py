"""Ten styles of music, played by artists whose sounds say nothing about the style."""
