"""Front ends: waveform to the network's input, and maps back to sound."""
