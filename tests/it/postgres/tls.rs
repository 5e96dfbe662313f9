use std::fs;

use bearward::{
    model::UnixTime,
    store::{GrantFilter, PostgresAddress, PostgresHost, PostgresTls, StoreError},
    tls::dev,
};

use super::{refusal, store};
use crate::support::Cluster;

#[tokio::test]
async fn a_server_must_prove_who_it_is_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let files = dev::ensure(&folder.path().join("ours"), "localhost", UnixTime::now()).unwrap();
    let foreign = dev::ensure(&folder.path().join("theirs"), "localhost", UnixTime::now()).unwrap();
    let mut cluster = Cluster::start(&["fsync=off"]);
    let certificate = cluster.install("server.pem", &fs::read(&files.server.certificate).unwrap());
    let key = fs::read(files.server.private_key.as_ref().unwrap()).unwrap();
    let key = cluster.install("server.key", &key);
    cluster.set(&format!("ssl_cert_file={}", certificate.display()));
    cluster.set(&format!("ssl_key_file={}", key.display()));
    cluster.set("ssl=on");
    cluster.stop();
    cluster.start_again();
    let address = cluster.over_tcp(cluster.database("tls").await);
    let named =
        |name: &str, tls| PostgresAddress { host: PostgresHost::Name(name.into()), tls, ..address.clone() };
    let ours = || Some(files.ca.clone());
    for good in [
        named("localhost", PostgresTls::Verified { roots: ours() }),
        named("127.0.0.1", PostgresTls::Authority { roots: ours() }),
        named("127.0.0.1", PostgresTls::Unverified),
        named("127.0.0.1", PostgresTls::Opportunistic),
    ] {
        let store = store(&good).await;
        assert_eq!(store.grants(GrantFilter::default()).await.unwrap(), [], "{good:?}");
        let mut connection = cluster.connect("tls").await;
        let clear: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
             WHERE a.application_name = 'bearward' AND NOT s.ssl",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        assert_eq!(clear, 0, "{good:?}");
    }
    for bad in [
        named("localhost", PostgresTls::Verified { roots: None }),
        named("localhost", PostgresTls::Verified { roots: Some(foreign.ca.clone()) }),
        named("localhost", PostgresTls::Authority { roots: Some(foreign.ca.clone()) }),
    ] {
        let refused = refusal(&bad).await;
        assert!(matches!(refused, StoreError::Unavailable(_)), "{bad:?}: {refused}");
        assert!(refused.to_string().contains("certificate"), "{refused}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_asked_for() {
    let cluster = Cluster::shared();
    let address = cluster.over_tcp(cluster.database("clear").await);
    for tls in [PostgresTls::Unverified, PostgresTls::Verified { roots: None }] {
        let refused = refusal(&PostgresAddress { tls, ..address.clone() }).await;
        assert!(refused.to_string().contains("TLS"), "{refused}");
    }
    store(&PostgresAddress { tls: PostgresTls::Off, ..address }).await;
}
