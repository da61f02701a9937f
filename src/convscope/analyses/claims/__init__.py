"""The claims of Zeiler & Fergus, each tested on a training run."""
