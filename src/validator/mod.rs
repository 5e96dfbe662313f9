//! From a bearer token to a [`crate::model::Principal`], or a typed refusal.
