//! Who may sign in with which password.
