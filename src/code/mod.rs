//! Catching the verification code: what was said in a call, and listening for it.
