use bearward::lookup::{Database, Kind, Lookups, SqlConfig, SqlQuery};
use sqlx::{Connection, SqliteConnection};

use super::{EVIL, find, is_operator, is_unavailable, lookups};
use crate::support::Cluster;

const QUERY: &str = "SELECT backend, server, name AS login_name, password, addresses, mailboxes
    FROM people WHERE login = $1 -- the user";

async fn sqlite(folder: &tempfile::TempDir, query: &str) -> Lookups {
    let path = folder.path().join("people.db");
    if !path.exists() {
        let mut made =
            SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", path.display())).await.unwrap();
        sqlx::raw_sql(
            "CREATE TABLE people (login TEXT, backend TEXT, server TEXT, name TEXT, password TEXT,
                addresses TEXT, mailboxes TEXT);
             INSERT INTO people VALUES
                ('alice@example.org', 'main', 'm1:143', 'alice', 'hunter2', 'a@example.org, @example.net', 'team@example.org'),
                ('bob@example.org', '', NULL, NULL, NULL, NULL, ''),
                ('twice@example.org', 'one', NULL, NULL, NULL, NULL, NULL),
                ('twice@example.org', 'two', NULL, NULL, NULL, NULL, NULL);",
        )
        .execute(&mut made)
        .await
        .unwrap();
        made.close().await.unwrap();
    }
    over(Database::Sqlite(path), query)
}

fn over(database: Database, query: &str) -> Lookups {
    lookups(Kind::Sql(SqlConfig { database, query: SqlQuery::parse(query).unwrap() }))
}

#[tokio::test]
async fn a_row_is_an_entry() {
    let folder = tempfile::tempdir().unwrap();
    let people = sqlite(&folder, QUERY).await;
    let alice = find(&people, "alice@example.org").await.unwrap().unwrap();
    assert_eq!(alice.backend.as_deref(), Some("main"));
    assert_eq!(alice.server, Some(("m1".into(), Some(143))));
    assert_eq!(alice.login_name.as_deref(), Some("alice"));
    assert_eq!(alice.password.unwrap().expose(), b"hunter2");
    assert_eq!(alice.addresses, ["a@example.org", "@example.net"]);
    assert_eq!(alice.mailboxes, ["team@example.org"]);
    let bob = find(&people, "bob@example.org").await.unwrap().unwrap();
    assert!(bob.backend.is_none() && bob.password.is_none() && bob.mailboxes.is_empty());
    assert!(find(&people, "carol@example.org").await.unwrap().is_none());
    assert!(is_operator(&find(&people, "twice@example.org").await), "two rows are no answer");
}

#[tokio::test]
async fn no_name_is_read_as_a_part_of_the_query() {
    let folder = tempfile::tempdir().unwrap();
    let people = sqlite(&folder, QUERY).await;
    for evil in EVIL {
        assert!(find(&people, evil).await.unwrap().is_none(), "{evil}");
    }
    assert!(find(&people, "alice@example.org").await.unwrap().is_some(), "the table is still there");
}

#[tokio::test]
async fn the_protocol_may_decide() {
    let folder = tempfile::tempdir().unwrap();
    let query =
        "SELECT CASE $2 WHEN 'imap' THEN 'one' ELSE 'two' END AS backend FROM people WHERE login = $1";
    let people = sqlite(&folder, query).await;
    let entry = find(&people, "alice@example.org").await.unwrap().unwrap();
    assert_eq!(entry.backend.as_deref(), Some("one"));
}

#[tokio::test]
async fn a_statement_that_does_not_fit_is_the_operators_fault_and_a_lost_database_is_not() {
    let folder = tempfile::tempdir().unwrap();
    for query in ["SELECT backend FROM persons WHERE login = $1", "SELECT 1 AS backends WHERE $1 = $1"] {
        let people = sqlite(&folder, query).await;
        let result = find(&people, "alice@example.org").await;
        assert!(is_operator(&result), "{query}: {result:?}");
    }
    let gone = over(Database::Sqlite(folder.path().join("gone.db")), QUERY);
    assert!(is_unavailable(&find(&gone, "alice@example.org").await));
}

#[tokio::test]
async fn postgresql_answers_the_same_and_changes_nothing() {
    let cluster = Cluster::shared();
    let address = cluster.database("lookup_people").await;
    let mut connection = cluster.connect(address.database.as_deref().unwrap()).await;
    sqlx::raw_sql(
        "CREATE TABLE people (login TEXT, backend TEXT, server TEXT, name TEXT, password TEXT,
            addresses TEXT[], mailboxes TEXT);
         INSERT INTO people VALUES ('alice@example.org', 'main', '[2001:db8::1]:143', 'alice', 'hunter2',
            ARRAY['a@example.org', '@example.net'], 'team@example.org shared');
         CREATE FUNCTION spoil(who TEXT) RETURNS TABLE (backend TEXT) LANGUAGE sql
            AS 'DELETE FROM people WHERE login = who RETURNING people.backend';",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let people = over(Database::Postgres(address.clone()), QUERY);
    let alice = find(&people, "alice@example.org").await.unwrap().unwrap();
    assert_eq!(alice.server, Some(("2001:db8::1".into(), Some(143))));
    assert_eq!(alice.addresses, ["a@example.org", "@example.net"]);
    assert_eq!(alice.mailboxes, ["team@example.org", "shared"]);
    for evil in EVIL {
        assert!(find(&people, evil).await.unwrap().is_none(), "{evil}");
    }
    let spoiling = over(Database::Postgres(address), "SELECT backend FROM spoil($1)");
    assert!(is_operator(&find(&spoiling, "alice@example.org").await));
    assert!(find(&people, "alice@example.org").await.unwrap().is_some(), "nothing was deleted");
}

#[tokio::test]
async fn a_database_that_is_down_is_an_outage() {
    let cluster = Cluster::shared();
    let mut address = cluster.database("lookup_down").await;
    address.port = 1;
    let people = over(Database::Postgres(address), QUERY);
    assert!(is_unavailable(&find(&people, "alice@example.org").await));
}
