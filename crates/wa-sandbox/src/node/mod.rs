//! The node: containers, the kubelet's life cycle of pods, logs and processes.
