//! Against exim, a mail server that logs what its clients do wrong.

use super::*;
use crate::support::checks::{OFTEN, ask_times};
use crate::support::exim::Exim;

#[tokio::test]
async fn a_healthy_server_logs_nothing_about_us() {
    let Some(server) = Exim::start().await else { return };
    let ca = server.ca.path().display();
    let log = server.log();
    // It starts a process for each connection, which reads the certificate anew.
    for (times, options) in [
        (OFTEN, format!("address = '127.0.0.1:{}'", server.plain)),
        (50, format!("address = '127.0.0.1:{}'\nmode = 'starttls'\ntls.ca = '{ca}'", server.plain)),
        (50, format!("address = '127.0.0.1:{}'\nmode = 'tls'\ntls.ca = '{ca}'", server.tls)),
    ] {
        ask_times(times, &check("smtp", &options)).await;
    }
    assert_eq!(server.log(), log);
}
