"""Images of nodes, workloads and machines: engines to choose from, recipes, and what makes them."""
