use std::{sync::Arc, time::Duration};

use bearward::{
    directory::{CheckError, Hashing, Names, SqlDirectory, SqlDirectoryConfig},
    lookup::{Database, SqlQuery},
};
use sqlx::{Connection, SqliteConnection};

use super::{check, is_operator, is_unavailable, right};
use crate::support::Cluster;

/// The password of everybody is `correct horse`, by `openssl passwd`; but for the last.
const TABLE: &str = "
    CREATE TABLE people (login TEXT, alias TEXT, password TEXT, active BOOLEAN);
    INSERT INTO people VALUES
    ('alice@example.org', 'al@example.org', '$5$saltsalt$myjXcpMpE2Ofk7fj9hqyNYSn6lmWG4Mqnjx.KIRRr4/', TRUE),
    ('bob@example.org', NULL, '{SHA256-CRYPT}$5$saltsalt$myjXcpMpE2Ofk7fj9hqyNYSn6lmWG4Mqnjx.KIRRr4/', FALSE),
    ('twice@example.org', NULL, '$5$saltsalt$myjXcpMpE2Ofk7fj9hqyNYSn6lmWG4Mqnjx.KIRRr4/', TRUE),
    ('twice@example.org', NULL, '$5$saltsalt$myjXcpMpE2Ofk7fj9hqyNYSn6lmWG4Mqnjx.KIRRr4/', TRUE),
    ('none@example.org', NULL, NULL, TRUE),
    ('empty@example.org', NULL, '', TRUE),
    ('old@example.org', NULL, '{MD5}Qmxh', TRUE),
    ('plain@example.org', NULL, '{PLAIN}correct horse', TRUE);";
const QUERY: &str = "SELECT login, password, active FROM people WHERE login = $1 OR alias = $1";

fn over(database: Database, query: &str, allow_plain: bool) -> SqlDirectory {
    let config = SqlDirectoryConfig {
        database,
        query: SqlQuery::parse(query).unwrap(),
        allow_plain,
        timeout: Duration::from_secs(10),
        domains: Vec::new(),
    };
    SqlDirectory::new(config, Arc::new(Hashing::new().unwrap()), Names::default())
}

async fn sqlite(folder: &tempfile::TempDir) -> Database {
    let path = folder.path().join("people.db");
    let mut made = SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", path.display())).await.unwrap();
    sqlx::raw_sql(TABLE).execute(&mut made).await.unwrap();
    made.close().await.unwrap();
    Database::Sqlite(path)
}

async fn people_are_known(database: Database) {
    let people = over(database.clone(), QUERY, false);
    assert_eq!(check(&people, "alice@example.org", "correct horse").await, right(None));
    assert_eq!(check(&people, "al@example.org", "correct horse").await, right(Some("alice@example.org")));
    for (login, password) in [
        ("alice@example.org", "correct hors"),
        ("alice@example.org", ""),
        ("alice@example.org", "correct horse\0"),
        ("al@example.org", "wrong"),
        ("bob@example.org", "correct horse"),
        ("none@example.org", "correct horse"),
        ("empty@example.org", "correct horse"),
        ("nobody@example.org", "correct horse"),
        ("'OR''='", "correct horse"),
        ("';DROP/**/TABLE/**/people;--", "correct horse"),
        ("$1", "correct horse"),
    ] {
        assert_eq!(check(&people, login, password).await, Err(CheckError::Wrong), "{login} {password}");
    }
    for login in ["twice@example.org", "old@example.org", "plain@example.org"] {
        let answer = check(&people, login, "correct horse").await;
        assert!(is_operator(&answer), "{login}: {answer:?}");
        assert!(!format!("{answer:?}").contains("Qmxh"), "{answer:?}");
    }
    let plain = over(database.clone(), QUERY, true);
    assert_eq!(check(&plain, "plain@example.org", "correct horse").await, right(None));
    assert_eq!(check(&plain, "plain@example.org", "correct hors").await, Err(CheckError::Wrong));
    for query in [
        "SELECT login FROM people WHERE login = $1",
        "SELECT password FROM persons WHERE login = $1",
        "SELECT password, 'maybe' AS login, 1.5 AS active FROM people WHERE login = $1",
    ] {
        let answer = check(&over(database.clone(), query, false), "alice@example.org", "correct horse").await;
        assert!(is_operator(&answer), "{query}: {answer:?}");
    }
    for (active, expected) in
        [("1", true), ("0", false), ("'y'", true), ("'no'", false), ("NULL", false), ("login = $1", true)]
    {
        let query = format!("SELECT password, {active} AS active FROM people WHERE login = $1");
        let answer =
            check(&over(database.clone(), &query, false), "alice@example.org", "correct horse").await;
        assert_eq!(answer, if expected { right(None) } else { Err(CheckError::Wrong) }, "{active}");
    }
}

#[tokio::test]
async fn people_of_a_sqlite_file_are_known() {
    let folder = tempfile::tempdir().unwrap();
    people_are_known(sqlite(&folder).await).await;
}

#[tokio::test]
async fn people_of_postgresql_are_known() {
    let address = Cluster::shared().database("people_of_directory").await;
    let mut made = sqlx::PgConnection::connect_with(&address.options()).await.unwrap();
    sqlx::raw_sql(TABLE).execute(&mut made).await.unwrap();
    made.close().await.unwrap();
    people_are_known(Database::Postgres(address)).await;
}

#[tokio::test]
async fn a_name_that_does_not_lead_to_the_same_person_is_nobodys() {
    let folder = tempfile::tempdir().unwrap();
    let database = sqlite(&folder).await;
    for name in ["'bob@example.org'", "'ceo@example.org'", "'a b'", "'x@client.invalid'", "alias"] {
        let query = format!("SELECT {name} AS login, password FROM people WHERE login = $1");
        let answer =
            check(&over(database.clone(), &query, false), "alice@example.org", "correct horse").await;
        assert!(is_operator(&answer), "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn a_database_that_is_gone_is_no_wrong_password() {
    let people = over(Database::Sqlite("/nowhere/people.db".into()), QUERY, false);
    let answer = check(&people, "alice@example.org", "correct horse").await;
    assert!(is_unavailable(&answer), "{answer:?}");
}

#[tokio::test]
async fn an_unknown_name_takes_as_long_as_a_known_one() {
    let folder = tempfile::tempdir().unwrap();
    let database = sqlite(&folder).await;
    // So many rounds that whether they were computed shows through whatever else runs here.
    let Database::Sqlite(path) = &database else { unreachable!() };
    let mut open = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    sqlx::raw_sql(
        "UPDATE people SET password = '$6$rounds=400000$saltsalt$' || substr(hex(zeroblob(43)), 1, 86)",
    )
    .execute(&mut open)
    .await
    .unwrap();
    open.close().await.unwrap();
    let people = over(database, QUERY, false);
    let time = async |login: &str| {
        let started = std::time::Instant::now();
        assert_eq!(check(&people, login, "correct horse").await, Err(CheckError::Wrong));
        started.elapsed()
    };
    time("alice@example.org").await;
    let mut ratios: Vec<f64> = Vec::new();
    for _ in 0..5 {
        let known = time("alice@example.org").await.as_secs_f64();
        ratios.push(time("nobody@example.org").await.as_secs_f64() / known);
    }
    ratios.sort_by(f64::total_cmp);
    assert!((0.3..3.0).contains(&ratios[2]), "{ratios:?}");
}
