//! The Portfolio controller: the platform's accounts, the ledger of claims, the cluster's claim on its owner id.
