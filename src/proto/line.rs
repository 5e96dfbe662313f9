//! Splits a stream into lines of bounded length.
//!
//! A line ends with CRLF and with nothing else: a bare LF, a bare CR or a NUL makes it malformed, so that no two
//! peers can disagree about where a command ends. What goes beyond the limit is thrown away as it arrives,
//! never kept.

/// Splits a stream into lines; see the module.
#[derive(Debug, Default)]
pub struct Lines {}
