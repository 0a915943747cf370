"""Multi-agent reinforcement learning: environment, roles, networks, algorithms, credit, evaluation."""
