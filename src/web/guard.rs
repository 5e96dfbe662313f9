//! How much of this server one client, and all of them, can take up.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::Response,
};
use tokio::time::timeout;

use super::{
    House,
    request::{self, Visit},
};
use crate::{
    issuer::{Caller, ErrorCode, OAuthError, PageError},
    model::UnixTime,
};

/// How much of this server requests to the issuer can take up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests at once: each holds a body of at most 64 KiB.
    pub requests: usize,
    /// Requests at once of one IPv4 address or one IPv6 /64, so that one client cannot take every place.
    pub per_address: usize,
    /// Time for the body. A body that is wanted fits into a few packets.
    pub body: Duration,
    /// Time for the whole request: a password is checked at a mail server, which may be slow.
    pub request: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: 1024,
            per_address: 64,
            body: Duration::from_secs(10),
            request: Duration::from_secs(60),
        }
    }
}

/// Who reads the answers of an endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) enum Audience {
    /// A person.
    Browser,
    /// A program.
    Client,
}

/// What holds requests within [`Limits`].
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) house: Arc<House>,
    pub(super) audience: Audience,
}

/// Requests under way.
#[derive(Default)]
pub(super) struct Gate(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A request's place, given back when dropped.
struct Place {
    house: Arc<House>,
    address: IpAddr,
}

/// Why a request was not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Busy {
    /// Its address has all its places.
    Address,
    /// There is no place left.
    Server,
    /// Its time is up.
    Time,
}

impl Gate {
    fn enter(house: &Arc<House>, address: IpAddr) -> Result<Place, Busy> {
        let address = network(address);
        let mut counts = house.gate.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.all >= house.limits.requests {
            return Err(Busy::Server);
        }
        let of_address = counts.by_address.entry(address).or_default();
        if *of_address >= house.limits.per_address {
            return Err(Busy::Address);
        }
        *of_address += 1;
        counts.all += 1;
        drop(counts);
        Ok(Place { house: Arc::clone(house), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.house.gate.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all = counts.all.saturating_sub(1);
        if let Some(count) = counts.by_address.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

/// Runs one request in a task of its own: a client that goes away stops no exchange half-way, and one that makes a
/// handler panic learns nothing but that.
pub(super) async fn guard(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let visit = Visit::of(&request);
    let Some(address) = request.extensions().get::<Arc<Caller>>().map(|caller| caller.address) else {
        tracing::error!("a request came without the address of its client");
        return guard.fault();
    };
    request::take_authorization(&mut request);
    let place = match Gate::enter(&guard.house, address) {
        Ok(place) => place,
        Err(busy) => return guard.busy(busy, &visit),
    };
    let limit = guard.house.limits.request;
    let task = tokio::spawn(async move {
        let _held = place;
        timeout(limit, next.run(request)).await
    });
    match task.await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => guard.busy(Busy::Time, &visit),
        Err(_) => {
            tracing::error!("the handler of a request panicked");
            guard.fault()
        }
    }
}

impl Guard {
    fn busy(&self, busy: Busy, visit: &Visit) -> Response {
        let (status, seconds) = match busy {
            Busy::Address => (StatusCode::TOO_MANY_REQUESTS, 1),
            Busy::Server => (StatusCode::SERVICE_UNAVAILABLE, 1),
            Busy::Time => (StatusCode::SERVICE_UNAVAILABLE, 5),
        };
        let mut response = match self.audience {
            Audience::Browser => {
                let frame = self.house.frame(visit.messages, UnixTime::now(), None);
                super::pages::refuse(&PageError::Unavailable, status, &frame)
            }
            Audience::Client => {
                let error =
                    OAuthError::new(ErrorCode::TemporarilyUnavailable, "the server is busy, try again soon");
                super::reply::error_with_status(status, &error)
            }
        };
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        response
    }

    fn fault(&self) -> Response {
        match self.audience {
            Audience::Browser => super::refusal(StatusCode::INTERNAL_SERVER_ERROR),
            Audience::Client => {
                let error = OAuthError::new(ErrorCode::ServerError, "the server has a fault");
                super::reply::error_with_status(StatusCode::INTERNAL_SERVER_ERROR, &error)
            }
        }
    }
}

/// What counts as one client: whoever has an IPv6 address has a /64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_is_one_network() {
        let same = |a: &str, b: &str| network(a.parse().unwrap()) == network(b.parse().unwrap());
        assert!(same("2001:db8:0:1::1", "2001:db8:0:1:ffff::2"));
        assert!(!same("2001:db8:0:1::1", "2001:db8:0:2::1"));
        assert!(same("::ffff:192.0.2.1", "192.0.2.1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
    }
}
