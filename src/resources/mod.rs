//! The two Kubernetes kinds, their conditions, reasons and names.
