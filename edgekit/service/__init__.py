"""The long-running process that joins journal, fleet and federated learning."""
