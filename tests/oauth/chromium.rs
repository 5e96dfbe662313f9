//! The pages in a real browser: Debian's Chromium, driven by Playwright.

use crate::script::Issuer;

fn run(part: &str) {
    Issuer::start().chromium(part);
}

#[test]
fn the_front_page_loads_without_complaint() {
    run("front_page");
}
