//! Arguments, runtime, application.

fn main() {}
