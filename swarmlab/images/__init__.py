"""Images of nodes, workloads and machines: engines to choose from, recipes, and the workshop that makes images."""
