//! Load driver.

fn main() {}
