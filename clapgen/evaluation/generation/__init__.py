"""`clapgen evaluate generation`: generated sounds against prompts, references and training clips."""
