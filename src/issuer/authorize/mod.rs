//! From an authorization request to a code: sign-in, consent, and what the pages show.

mod page;

pub use page::{
    Answer, ConsentPage, DeviceCodePage, DevicePlace, DonePage, LeavePage, Page, PageError, Redirect,
    RedirectMode, SignInError, SignInForm, SignInPage,
};
