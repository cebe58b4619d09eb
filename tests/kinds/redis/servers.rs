//! Real servers beyond a single one over TCP: sentinels, clusters, replicas, sockets and a proxy.

use super::*;
use crate::support::checks::{ask_often, figure, run};
use crate::support::memcached::Memcached;
use crate::support::twemproxy::Twemproxy;

/// The line of configuration by which a sentinel watches `master` as `orders`.
fn watching(master: &Redis, more: &str) -> String {
    format!("sentinel monitor orders 127.0.0.1 {} 1\n{more}\n", master.port())
}

#[tokio::test]
async fn sentinels_are_asked_for_the_master_and_a_failover_is_followed() {
    let Some(mut master) = Redis::start().await else { return };
    let follow = format!("replicaof 127.0.0.1 {}", master.port());
    let replica = Redis::start_with(&[&follow], &[]).await.expect("a replica");
    wait_for("the link", async || asked(&replica.url(), "").await == Ok(Detail::ok())).await;
    let sentinel = Redis::sentinel(&watching(&master, "")).await.expect("a sentinel");
    let (_reserved, nobody) = peer::refusing();
    let url = format!("redis-sentinel://{nobody},127.0.0.1:{}/orders", sentinel.port());
    for more in ["", "expect.role = 'master'"] {
        for url in [&url, &url.replace("redis", "valkey")] {
            assert_eq!(asked(url, more).await, Ok(Detail::ok()));
        }
    }
    let (reason, text) = failed(&url.replace("orders", "others"), "").await;
    assert_eq!(reason, Reason::QueryFailed);
    assert!(
        text.contains("none of 2 sentinels") && text.ends_with("no master of that name"),
        "{text}"
    );
    // A server that is no sentinel.
    let other = format!("redis-sentinel://127.0.0.1:{}/orders", master.port());
    let (reason, text) = failed(&other, "").await;
    assert_eq!(reason, Reason::QueryFailed);
    assert!(text.contains("answered to SENTINEL get-master-addr-by-name orders: ERR"), "{text}");

    wait_for("the sentinel to know the replica", async || {
        sentinel.ask("SENTINEL FAILOVER orders").await.starts_with("+OK")
    })
    .await;
    let port = replica.port().to_string();
    wait_for("the failover", async || {
        sentinel.ask_all("SENTINEL get-master-addr-by-name orders").await.contains(&port)
    })
    .await;
    master.stop().await;
    assert_eq!(asked(&url, "expect.role = 'master'").await, Ok(Detail::ok()));
}

#[tokio::test]
async fn sentinels_have_a_password_of_their_own() {
    let required = format!("requirepass {SECRET}");
    let Some(master) = Redis::start_with(&[&required], &[]).await else { return };
    let sentinel = Redis::sentinel(&watching(&master, "requirepass s3ntinel-pw")).await;
    let sentinel = sentinel.expect("a sentinel");
    let url = format!("redis-sentinel://:{SECRET}@127.0.0.1:{}/orders", sentinel.port());
    let right = "sentinel_password = 's3ntinel-pw'";
    assert_eq!(asked(&url, right).await, Ok(Detail::ok()));
    for (url, more, reported) in [
        (&url, "", "NOAUTH"),
        (&url, "sentinel_password = 'not-the-one'", "answered to AUTH: WRONGPASS"),
        (&url.replace(SECRET, "not-the-one"), right, "answered to AUTH: WRONGPASS"),
    ] {
        let (reason, text) = failed(url, more).await;
        assert_eq!(reason, Reason::AuthFailed, "{text}");
        assert!(text.contains(reported) && !text.contains("not-the-one"), "{text}");
    }
}

#[tokio::test]
async fn a_cluster_is_up_while_its_slots_are_served() {
    let Some(node) = Redis::start_with(&["cluster-enabled yes"], &[]).await else { return };
    let url = format!("redis-cluster://127.0.0.1:{}", node.port());
    let (reason, text) = failed(&url, "").await;
    assert_eq!(reason, Reason::NotServing);
    assert!(text.ends_with("its cluster is down; 0 of 16384 hash slots are served"), "{text}");
    assert_eq!(node.ask("CLUSTER ADDSLOTSRANGE 0 16383").await, "+OK\r\n");
    wait_for("the cluster", async || asked(&url, "").await == Ok(Detail::ok())).await;
    let (_reserved, nobody) = peer::refusing();
    let url = format!("redis-cluster://{nobody},127.0.0.1:{}", node.port());
    assert_eq!(asked(&url, "").await, Ok(Detail::ok()));

    let settings = ["cluster-enabled yes", "cluster-require-full-coverage no"];
    let part = Redis::start_with(&settings, &[]).await.expect("a node");
    assert_eq!(part.ask("CLUSTER ADDSLOTSRANGE 0 99").await, "+OK\r\n");
    let url = format!("redis-cluster://127.0.0.1:{}", part.port());
    let caveat = Ok(Detail::warning("only 100 of 16384 hash slots are served"));
    wait_for("the cluster", async || asked(&url, "").await == caveat).await;

    let alone = Redis::start().await.expect("a server");
    let (reason, text) = failed(&format!("redis-cluster://127.0.0.1:{}", alone.port()), "").await;
    assert_eq!(reason, Reason::QueryFailed);
    assert!(
        text.contains("answered to CLUSTER INFO: ERR This instance has cluster support"),
        "{text}"
    );
}

#[tokio::test]
async fn a_unix_socket_is_asked_as_tcp_is() {
    let required = format!("requirepass {SECRET}");
    let settings = [&*required, "unixsocket redis.sock", "unixsocketperm 777"];
    let Some(mut server) = Redis::start_with(&settings, &[]).await else { return };
    let path = server.path("redis.sock").display().to_string();
    for url in
        [format!("unix://:{SECRET}@{path}"), format!("redis+unix://{path}?db=3&password={SECRET}")]
    {
        let (spans, _guard) = Spans::record();
        assert_eq!(asked(&url, "expect.role = 'master'").await, Ok(Detail::ok()));
        let span = spans.only();
        assert_eq!(events(&span), ["connect", "request", "transfer"]);
        assert_eq!(attribute(&span, "server.address").as_deref(), Some(path.as_str()));
        assert_eq!(attribute(&span, "network.transport").as_deref(), Some("unix"));
        assert_eq!(attribute(&span, "server.port"), None);
    }
    let check = check("redis", &format!("url = 'unix://{path}'"));
    let place = check.server().expect("an address");
    assert_eq!((place.address, place.port), (path.clone(), None));
    let refused = ask(&*check, PATIENT).await.expect_err("it wants a password");
    assert!(refused.message().starts_with(&format!("{path} answered to PING: NOAUTH")));
    server.stop().await;
    let gone = ask(&*check, PATIENT).await.expect_err("nothing listens");
    assert_eq!(gone.reason(), Reason::ConnectionRefused, "{}", gone.message());
}

#[tokio::test]
async fn the_replication_lag_is_known_on_both_sides() {
    let Some(master) = Redis::start().await else { return };
    let lag = async |server: &Redis| {
        let run = run(check("redis", &format!("url = '{}'", server.url()))).await;
        assert_eq!(figure(&run, "replication_lag_seconds"), None);
        figure(&run, "replication_lag_bytes")
    };
    assert_eq!(lag(&master).await, None, "it has no replica");
    let follow = format!("replicaof 127.0.0.1 {}", master.port());
    let replica = Redis::start_with(&[&follow], &[]).await.expect("a replica");
    wait_for("the replica to catch up", async || lag(&replica).await == Some(0.0)).await;
    wait_for("the replica to acknowledge", async || lag(&master).await == Some(0.0)).await;
    // A replica that takes part and applies nothing falls behind what its master has written.
    replica.freeze();
    assert_eq!(master.ask("SET orders 7").await, "+OK\r\n");
    assert!(lag(&master).await.is_some_and(|bytes| bytes > 0.0));
    replica.thaw();
}

#[tokio::test]
async fn a_healthy_server_counts_and_logs_nothing_against_us() {
    let acl = format!("user default off\nuser app on >{SECRET} +@all\n");
    let files = [("users.acl", acl.as_str())];
    let Some(server) = Redis::start_with(&["aclfile users.acl"], &files).await else { return };
    let log = server.log();
    let check = check("redis", &format!("url = '{}'", server.url_of(&format!("app:{SECRET}@"))));
    ask_often(&check).await;
    assert_eq!(server.log(), log);
    let login = format!("AUTH app {SECRET}\r\n");
    let stats = server.ask_all(&format!("{login}INFO stats")).await;
    assert!(stats.contains("rejected_connections:0\r\n"), "{stats}");
    // The one error is the answer to the `PING` by which this test saw the server start.
    assert!(stats.contains("total_error_replies:1\r\n"), "{stats}");
    let denied = server.ask_all(&format!("{login}ACL LOG")).await;
    assert!(denied.ends_with("+OK\r\n*0\r\n"), "{denied}");
}

#[tokio::test]
async fn twemproxy_is_up_before_healthy_servers() {
    let Some(server) = Redis::start().await else { return };
    let Some(cache) = Memcached::start(&[], &[]).await else { return };
    let Some(proxy) = Twemproxy::start(server.port(), cache.address().port()).await else { return };
    let through = format!("redis://{}", proxy.redis);
    assert_eq!(asked(&through, "").await, Ok(Detail::ok()));
    let (reason, text) = failed(&through, "expect.role = 'master'").await;
    assert_eq!(reason, Reason::ConnectionReset);
    assert!(text.ends_with("; expect.role needs INFO"), "{text}");
    let cache = check("memcached", &format!("address = '{}'", proxy.memcached));
    assert_eq!(ask(&*cache, PATIENT).await, Ok(Detail::ok()));
}
