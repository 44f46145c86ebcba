"""The lab whose nodes are containers on the outer engine."""
