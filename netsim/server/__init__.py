"""The Kubernetes-shaped HTTP API of a lab, and its client."""
