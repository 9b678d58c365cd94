"""Kubernetes resources as netsim understands them: kinds, manifests, defaults, typed views."""
