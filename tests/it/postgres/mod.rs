//! What is PostgreSQL's own: its faults, its order of commits, several nodes on one database.

mod faults;
mod nodes;
mod opening;
mod revocations;
mod tls;

use std::{sync::Arc, time::Duration};

use bearward::store::{Config, Location, PostgresAddress, Store, StoreError, open};

use crate::support::Cluster;

fn config(address: &PostgresAddress) -> Config {
    Config { location: Location::Postgres(address.clone()), poll_interval: Duration::from_secs(1) }
}

async fn store(address: &PostgresAddress) -> Arc<dyn Store> {
    open(&config(address)).await.unwrap()
}

async fn refusal(address: &PostgresAddress) -> StoreError {
    open(&config(address)).await.err().expect("it is refused")
}

/// Statements of someone who reaches around the store.
async fn raw(cluster: &Cluster, database: &str, statements: &[&'static str]) {
    let mut connection = cluster.connect(database).await;
    for statement in statements {
        sqlx::query(*statement).execute(&mut connection).await.unwrap();
    }
}
