//! A stateful local double of Telnyx and Meta, for development and tests. Nothing but the command line may use it.
