"""The source ``voices``: vowels spoken by many, by glottal pulses through a vocal tract of formants."""
