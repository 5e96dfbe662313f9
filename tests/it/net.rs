//! Listeners.

use std::net::SocketAddr;

use bearward::net::{NetError, accept, bind, canonical};
use tokio::net::{TcpSocket, TcpStream};

#[tokio::test]
async fn a_port_in_use_has_its_sentence() {
    let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = first.local_addr().unwrap();
    let refused = bind(address).unwrap_err();
    assert!(matches!(refused, NetError::InUse(taken) if taken == address));
    assert!(refused.to_string().contains(&address.to_string()), "{refused}");
}

#[tokio::test]
async fn an_address_of_another_machine_has_its_sentence() {
    let refused = bind("192.0.2.1:4993".parse().unwrap()).unwrap_err();
    assert!(matches!(refused, NetError::NotOurs(_)), "{refused}");
}

#[tokio::test]
async fn the_ipv6_wildcard_takes_ipv4_and_names_it_so() {
    let listening = bind("[::]:0".parse().unwrap()).unwrap();
    let port = listening.local_addr().unwrap().port();
    let client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (accepted, peer) = accept(&listening).await;
    assert_eq!(peer, client.local_addr().unwrap());
    assert!(accepted.nodelay().unwrap());
}

#[tokio::test]
async fn the_system_keeps_little_for_a_client_that_never_reads() {
    let listening = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.set_recv_buffer_size(2048).unwrap();
    let deaf = deaf.connect(listening.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = accept(&listening).await;
    let mut taken = 0;
    while let Ok(count) = accepted.try_write(&[b'x'; 16 * 1024]) {
        taken += count;
        tokio::task::yield_now().await;
    }
    assert!(taken > 0 && taken < 512 * 1024, "{taken} octets");
    drop(deaf);
}

#[test]
fn a_mapped_address_is_told_as_ipv4() {
    let mapped: SocketAddr = "[::ffff:192.0.2.7]:143".parse().unwrap();
    assert_eq!(canonical(mapped), "192.0.2.7:143".parse().unwrap());
    let own: SocketAddr = "[2001:db8::7]:143".parse().unwrap();
    assert_eq!(canonical(own), own);
}
