//! Servers that DNS lists, as the program finds them by the name servers of the system.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;

use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, SRV, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;

use super::*;
use crate::support::daemon::left_out;
use crate::support::peer::refusing;
use crate::support::python::Server;
use crate::support::service;

/// Answers for the domain `example.test`: `cluster` lists a server that is gone before one at
/// `port`, and the database that knows its users; `elsewhere` lists a server of another domain.
async fn name_server(socket: UdpSocket, gone: u16, port: u16) {
    let mut buffer = [0; 1500];
    while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
        let Ok(mut message) = Message::from_vec(&buffer[..length]) else { continue };
        message.metadata.message_type = MessageType::Response;
        let query = message.queries[0].clone();
        let name = query.name().clone();
        let server = |priority, port, target| {
            RData::SRV(SRV::new(priority, 0, port, Name::from_ascii(target).expect("a name")))
        };
        let answers = match (name.to_lowercase().to_utf8().as_str(), query.query_type()) {
            ("_mongodb._tcp.cluster.example.test.", RecordType::SRV) => {
                vec![server(2, port, "db2.example.test."), server(1, gone, "db1.example.test.")]
            }
            ("_mongodb._tcp.elsewhere.example.test.", RecordType::SRV) => {
                vec![server(1, port, "db1.example.org.")]
            }
            ("cluster.example.test.", RecordType::TXT) => {
                vec![RData::TXT(TXT::new(vec!["authSource=users&replicaSet=rs0".to_owned()]))]
            }
            ("db1.example.test." | "db2.example.test.", RecordType::A) => {
                vec![RData::A(A::new(127, 0, 0, 1))]
            }
            ("db1.example.test." | "db2.example.test.", _) => Vec::new(),
            _ => {
                message.metadata.response_code = ResponseCode::NXDomain;
                Vec::new()
            }
        };
        let records = answers.into_iter().map(|data| Record::from_rdata(name.clone(), 60, data));
        message.answers.extend(records);
        let bytes = message.to_vec().expect("a message");
        socket.send_to(&bytes, client).await.expect("to answer");
    }
}

#[tokio::test]
async fn the_servers_that_dns_lists_are_asked_until_one_is_right() {
    if !rustix::process::getuid().is_root() {
        return left_out("a name server on port 53, which takes root,");
    }
    let Some(server) = Server::start("pymongo", "mongodb_server.py", ["app", SECRET]).await else {
        return;
    };
    // An address of this process' own: port 53 is the only one that `resolv.conf` knows.
    let [.., third, last] = std::process::id().to_be_bytes();
    let address = format!("127.53.{third}.{last}");
    let socket = UdpSocket::bind((address.as_str(), 53)).await.expect("port 53");
    let (_reserved, gone) = refusing();
    tokio::spawn(name_server(socket, gone.port(), server.tls));

    let dir = tempfile::tempdir().expect("a directory");
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("to open it");
    std::fs::write(dir.path().join("resolv.conf"), format!("nameserver {address}\n")).unwrap();
    let mut configuration =
        "[history]\nurl = \"off\"\n[defaults]\ninterval = '2m'\ntimeout = '1m'\n".to_owned();
    for (check, name, application) in [
        ("right", "cluster", "locked"),
        ("secondary", "cluster", "secondary"),
        ("elsewhere", "elsewhere", "locked"),
        ("missing", "missing", "locked"),
    ] {
        let tls = format!("ca = '{}', server_name = '127.0.0.1'", server.ca.path().display());
        writeln!(
            configuration,
            "[checks.{check}]\nkind = 'mongodb'\ntls = {{ {tls} }}\nexpect.role = 'primary'\n\
             url = 'mongodb+srv://app:{SECRET}@{name}.example.test/?appName={application}'"
        )
        .unwrap();
    }
    std::fs::write(dir.path().join("vitalsign.toml"), configuration).unwrap();
    let check = service::command(dir.path(), &["check"]);
    let mut command = std::process::Command::new("unshare");
    let script = "mount --bind resolv.conf /etc/resolv.conf && exec \"$0\" \"$@\"";
    command.args(["--mount", "/bin/sh", "-c", script]).arg(check.get_program());
    command.args(check.get_args()).current_dir(dir.path());
    let ended = tokio::task::spawn_blocking(|| service::run(command)).await.expect("it ends");
    for said in [
        "[+]right ok\n",
        "[-]secondary failed: unexpected_status\n    none of 2 servers answered as it should: db2.",
        "[-]elsewhere failed: dns_failed\n    _mongodb._tcp.elsewhere.example.test lists the server",
        "[-]missing failed: dns_not_found\n    the name _mongodb._tcp.missing.example.test does not",
    ] {
        assert!(ended.out.contains(said), "{said}: {ended:?}");
    }
    assert!(ended.out.contains("which is not in the domain example.test\n"), "{ended:?}");
    assert!(!format!("{ended:?}").contains(SECRET), "{ended:?}");
}
