//! Sign-in at an outside provider in a real browser: Bearward's pages, and those of the npm package `oidc-provider`.

use crate::script::Issuer;

fn run(part: &str) {
    Issuer::federated().federated_chromium(part);
}

#[test]
fn a_person_signs_in_outside_and_the_app_opens_the_mailbox() {
    run("sign_in");
}

#[test]
fn who_cancels_outside_may_try_again() {
    run("cancel");
}

#[test]
fn who_has_the_wrong_account_outside_is_asked_for_another() {
    run("wrong_account");
}

#[test]
fn a_provider_that_knows_no_choice_of_accounts_is_asked_in_another_way() {
    run("wrong_account_without_a_choice");
}

#[test]
fn two_tabs_at_once_do_not_mix() {
    run("two_tabs");
}

#[test]
fn a_provider_that_is_down_loses_nothing() {
    run("provider_down");
}

#[test]
fn a_device_is_connected_by_a_sign_in_outside() {
    run("device");
}

#[test]
fn who_must_sign_in_anew_is_asked_outside() {
    run("who_must_sign_in_anew");
}

#[test]
fn the_pages_fit_a_small_phone_without_scripts() {
    run("small_screen");
}
