"""Methods that explain a prediction, and the artefact that they leave."""
