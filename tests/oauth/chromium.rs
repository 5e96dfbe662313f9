//! The pages in a real browser: Debian's Chromium, driven by Playwright.

use crate::script::Issuer;

fn run(part: &str) {
    Issuer::start().chromium(part);
}

#[test]
fn the_front_page_loads_without_complaint() {
    run("front_page");
}

#[test]
fn a_person_signs_in_and_the_app_opens_the_mailbox() {
    run("sign_in");
}

#[test]
fn the_answer_travels_in_a_form_with_and_without_scripts() {
    run("form_post");
}

#[test]
fn a_wrong_password_shows_the_same_page_again_whoever_it_was() {
    run("wrong_password");
}

#[test]
fn too_many_wrong_passwords_end_the_request() {
    run("too_many_wrong_passwords");
}

#[test]
fn a_consent_sent_twice_gives_one_code() {
    run("double_submit");
}

#[test]
fn a_double_click_on_allow_leads_back_to_the_app() {
    run("double_click");
}

#[test]
fn the_back_button_shows_no_password_and_no_consent() {
    run("back_button");
}

#[test]
fn a_refusal_is_told_to_the_app() {
    run("deny");
}

#[test]
fn a_device_is_connected_by_its_code() {
    run("device");
}

#[test]
fn axe_finds_nothing_on_any_page() {
    run("accessible");
}

#[test]
fn every_page_fits_a_small_phone_without_scripts() {
    run("small_screen");
}

#[test]
fn the_account_page_lists_what_is_connected_and_disconnects_an_idle_session_at_once() {
    run("account");
}

#[test]
fn an_app_password_is_made_once_whatever_the_browser_repeats() {
    run("app_password");
}

#[test]
fn no_page_shows_in_a_frame_of_a_stranger() {
    run("frame");
}

#[test]
fn a_form_on_the_page_of_a_stranger_signs_nobody_in() {
    run("foreign_form");
}
