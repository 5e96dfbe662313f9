//! Token formats and the keys behind them: opaque tokens, sealing of mailbox passwords, signing keys.
//!
//! Used by issuer and validator. It does no I/O and asks no clock; random octets are drawn from aws-lc-rs.
