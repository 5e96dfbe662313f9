//! SMTP submission (RFC 6409): both sides until the login, and the guard of what follows it.

mod command;
mod ehlo;
mod guard;
mod reply;

pub use guard::SmtpGuard;

use super::{Answer, Banner, Downstream, FrontConfig, Step, Upstream, UpstreamPlan, UpstreamStep};

/// The server that a Smtp client meets until it has signed in.
#[derive(Debug)]
pub struct SmtpDownstream {
    _config: FrontConfig,
}

impl SmtpDownstream {
    /// A machine for a new connection; its first step is the greeting.
    pub fn new(_banner: Banner, config: FrontConfig) -> Self {
        Self { _config: config }
    }
}

impl Downstream for SmtpDownstream {
    fn receive(&mut self, _octets: &[u8]) {
        unimplemented!()
    }
    fn poll(&mut self) -> Step {
        unimplemented!()
    }
    fn answer(&mut self, _answer: Answer) {
        unimplemented!()
    }
    fn tls_started(&mut self) {
        unimplemented!()
    }
    fn awaits_dummy_response(&self) -> bool {
        unimplemented!()
    }
    fn dummy_response_timed_out(&mut self) {
        unimplemented!()
    }
    fn goodbye(&self, _reason: &str) -> Vec<u8> {
        unimplemented!()
    }
}

/// The client that logs in to a Smtp server.
#[derive(Debug)]
pub struct SmtpUpstream {
    _plan: UpstreamPlan,
}

impl SmtpUpstream {
    /// A machine for a new connection; it waits for the server's greeting.
    pub fn new(plan: UpstreamPlan) -> Self {
        Self { _plan: plan }
    }
}

impl Upstream for SmtpUpstream {
    fn receive(&mut self, _octets: &[u8]) {
        unimplemented!()
    }
    fn poll(&mut self) -> UpstreamStep {
        unimplemented!()
    }
    fn tls_started(&mut self) {
        unimplemented!()
    }
}
