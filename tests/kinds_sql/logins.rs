//! How a login is tried, and what a server that refuses it means.

use std::sync::Arc;

use vitalsign::{Check, Detail, Reason};

use super::tls::Authority;
use super::{PLENTY, ask, assert_failed, check, failure};
use crate::support::daemon::free_port;
use crate::support::mariadb::MariaDb;
use crate::support::postgres::{PASSWORD, Postgres};

/// Roles that are let in by one way alone.
const RULES: &str = "hostssl all secured 127.0.0.1/32 trust\n\
                     host all secured all reject\n\
                     hostnossl all plain 127.0.0.1/32 trust\n\
                     host all plain all reject\n\
                     local all all trust\n\
                     host all all 127.0.0.1/32 scram-sha-256\n\
                     host replication all 127.0.0.1/32 scram-sha-256\n";

fn of(url: &str) -> Arc<dyn Check> {
    check("postgres", &format!("url = {url:?}"))
}

async fn server(authority: &Authority) -> Option<Postgres> {
    let (cert, key) = authority.certify("127.0.0.1", 2999);
    let files =
        [("server.crt", cert.as_str()), ("server.key", key.as_str()), ("pg_hba.conf", RULES)];
    let server = Postgres::start_with(&["ssl=on"], &files).await?;
    for sql in [
        "CREATE ROLE secured LOGIN",
        "CREATE ROLE plain LOGIN",
        "CREATE ROLE app LOGIN PASSWORD 'pg-Pa55word'",
        "CREATE DATABASE closed",
        "REVOKE CONNECT ON DATABASE closed FROM public",
        "CREATE DATABASE shut ALLOW_CONNECTIONS false",
    ] {
        server.execute(sql).await;
    }
    Some(server)
}

#[tokio::test]
async fn prefer_and_allow_try_both_ways_as_libpq_does() {
    let Some(server) = server(&Authority::new()).await else { return };
    let url = |role: &str, query: &str| {
        format!("postgres://{role}@127.0.0.1:{}/postgres{query}", server.port())
    };
    for (role, query, wanted) in [
        ("plain", "", Ok(())),
        ("plain", "?sslmode=prefer", Ok(())),
        ("plain", "?sslmode=allow", Ok(())),
        ("plain", "?sslmode=disable", Ok(())),
        ("plain", "?sslmode=require", Err(Reason::AuthFailed)),
        ("secured", "", Ok(())),
        ("secured", "?sslmode=allow", Ok(())),
        ("secured", "?sslmode=require", Ok(())),
        ("secured", "?ssl=true", Ok(())),
        ("secured", "?sslmode=disable", Err(Reason::AuthFailed)),
    ] {
        let verdict = ask(&*of(&url(role, query)), PLENTY).await;
        assert_eq!(verdict.map(drop).map_err(|f| f.reason()), wanted, "{role}{query}");
    }
    // The one answer that is about the password is the one that is reported.
    let wrong = server.url_of("app", "not-the-Pa55word", "postgres");
    let wrong = failure(&*of(&wrong), PLENTY).await;
    assert_failed(&wrong, Reason::AuthFailed, "password authentication failed", "not-the-Pa55word");
}

#[tokio::test]
async fn a_root_that_is_named_verifies_whatever_the_mode_asks() {
    let (ours, other) = (Authority::new(), Authority::new());
    let Some(server) = server(&ours).await else { return };
    let (ours, other) = (ours.ca(), other.ca());
    for (root, mode, wanted) in [
        (&ours, "require", Ok(())),
        (&other, "require", Err(Reason::TlsUntrusted)),
        (&ours, "verify-ca", Ok(())),
        (&other, "verify-ca", Err(Reason::TlsUntrusted)),
        (&ours, "verify-full", Ok(())),
        // libpq verifies nothing there.
        (&other, "prefer", Ok(())),
    ] {
        let query = format!("sslmode={mode}&sslrootcert={}", root.display());
        let verdict = ask(&*of(&format!("{}?{query}", server.url())), PLENTY).await;
        assert_eq!(verdict.map(drop).map_err(|f| f.reason()), wanted, "{query}");
    }
    let system = format!("{}?sslmode=require&sslrootcert=system", server.url());
    let verdict = failure(&*of(&system), PLENTY).await;
    assert_failed(&verdict, Reason::TlsUntrusted, "", PASSWORD);
}

#[tokio::test]
async fn what_is_refused_at_connecting_is_no_failed_query() {
    let Some(server) = server(&Authority::new()).await else { return };
    let of_app = |database: &str| of(&server.url_of("app", PASSWORD, database));
    let closed = failure(&*of_app("closed"), PLENTY).await;
    assert_failed(&closed, Reason::AuthFailed, "permission denied", PASSWORD);
    let shut = failure(&*of_app("shut"), PLENTY).await;
    assert_failed(&shut, Reason::NotServing, "not currently accepting", PASSWORD);
    // The same code at a query is about the query.
    let query = "query = 'SELECT * FROM pg_authid'";
    let url = server.url_of("app", PASSWORD, "postgres");
    let denied = check("postgres", &format!("url = {url:?}\n{query}"));
    let denied = failure(&*denied, PLENTY).await;
    assert_failed(&denied, Reason::QueryFailed, "permission denied", PASSWORD);
}

#[tokio::test]
async fn several_hosts_are_tried_in_order() {
    let Some(primary) = Postgres::start().await else { return };
    let standby = primary.standby().await;
    let (one, other) = (primary.port(), standby.port());
    let nobody = free_port();
    let user = format!("postgres:{PASSWORD}");
    let list = |ports: &[u16], query: &str| {
        let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("postgres://{user}@{}/postgres?{query}", hosts.join(","))
    };
    let is_standby = "query = 'SELECT 1 WHERE pg_is_in_recovery()'\nexpect.rows = ";
    for (ports, session, standby) in [
        (&[nobody, one][..], "any", 0),
        (&[other, one], "any", 1),
        (&[other, one], "read-write", 0),
        (&[other, one], "primary", 0),
        (&[one, other], "read-only", 1),
        (&[one, other], "standby", 1),
        (&[one, other], "prefer-standby", 1),
        (&[one, nobody], "prefer-standby", 0),
    ] {
        let url = list(ports, &format!("target_session_attrs={session}"));
        let check = check("postgres", &format!("url = {url:?}\n{is_standby}{standby}"));
        assert_eq!(ask(&*check, PLENTY).await, Ok(Detail::ok()), "{session}");
    }
    let wrong = failure(&*of(&list(&[other], "target_session_attrs=read-write")), PLENTY).await;
    assert_failed(&wrong, Reason::NotServing, "read-write is asked for", PASSWORD);
    let refused = failure(&*of(&list(&[nobody, nobody], "sslmode=disable")), PLENTY).await;
    let place = format!("connect to 127.0.0.1:{nobody}");
    assert_failed(&refused, Reason::ConnectionRefused, &place, PASSWORD);
}

#[tokio::test]
async fn several_hosts_of_mariadb_are_tried_in_order() {
    let Some(server) = MariaDb::start().await else { return };
    let (good, nobody) = (server.port(), free_port());
    let of = |scheme: &str, first: u16, second: u16| {
        let hosts = format!("127.0.0.1:{first},127.0.0.1:{second}");
        let url = server.url().replace(&format!("127.0.0.1:{good}"), &hosts);
        check("mysql", &format!("url = {:?}", url.replace("mysql:", scheme)))
    };
    for scheme in ["mysql:", "mysql2:", "mariadb:", "mysql+pymysql:"] {
        assert_eq!(ask(&*of(scheme, nobody, good), PLENTY).await, Ok(Detail::ok()), "{scheme}");
    }
    let refused = failure(&*of("mysql:", nobody, nobody), PLENTY).await;
    assert_eq!(refused.reason(), Reason::ConnectionRefused);
}

#[tokio::test]
async fn mariadb_lets_in_by_each_login_that_it_has() {
    let Some(server) = MariaDb::start().await else { return };
    server.execute("INSTALL SONAME 'auth_ed25519'").await;
    let of = |user: &str, password: &str| {
        check("mysql", &format!("url = {:?}", server.url_of(user, password, "")))
    };
    for (user, method, password) in [
        ("ed", "ed25519 USING PASSWORD('my-ed-Pa55')", "my-ed-Pa55"),
        (
            "lengthy",
            "ed25519 USING PASSWORD('a password of more than 32 letters')",
            "a%20password%20of%20more%20than%2032%20letters",
        ),
        ("native", "mysql_native_password USING PASSWORD('my-Pa55')", "my-Pa55"),
        (
            "either",
            "ed25519 USING PASSWORD('another') OR mysql_native_password USING PASSWORD('pw-2')",
            "pw-2",
        ),
        ("empty", "mysql_native_password", ""),
    ] {
        server.execute(&format!("CREATE USER {user}@'%' IDENTIFIED VIA {method}")).await;
        let verdict = ask(&*of(user, password), PLENTY).await;
        assert_eq!(verdict, Ok(Detail::ok()), "{user}");
        let refused = failure(&*of(user, "wrong-Pa55"), PLENTY).await;
        assert_failed(&refused, Reason::AuthFailed, "Access denied", "wrong-Pa55");
    }
}

#[tokio::test]
async fn a_login_that_this_client_lacks_is_said_to_be_its_own_limit() {
    let Some(server) = MariaDb::start().await else { return };
    server.execute("INSTALL SONAME 'auth_pam_v1'").await;
    server.execute("CREATE USER pam@'%' IDENTIFIED VIA pam").await;
    let check = check("mysql", &format!("url = {:?}", server.url_of("pam", "my-pam-Pa55", "")));
    let refused = failure(&*check, PLENTY).await;
    let text = "this client does not know the login `dialog` that the server asks for";
    assert_failed(&refused, Reason::AuthFailed, text, "my-pam-Pa55");
}
