//! One test binary; a file per topic. Tests are named as sentences.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "tests fail by panicking"
)]

mod net;
mod relay;
mod tls;
mod tls_upstream;
