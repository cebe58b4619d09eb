//! Against exim, a mail server that logs what its clients do wrong.

use super::*;
use crate::support::exim::Exim;

#[tokio::test]
async fn a_healthy_server_logs_nothing_about_us() {
    let Some(server) = Exim::start().await else { return };
    let ca = server.ca.path().display();
    let log = server.log();
    for options in [
        format!("address = '127.0.0.1:{}'", server.plain),
        format!("address = '127.0.0.1:{}'\nmode = 'starttls'\ntls.ca = '{ca}'", server.plain),
        format!("address = '127.0.0.1:{}'\nmode = 'tls'\ntls.ca = '{ca}'", server.tls),
    ] {
        let check = check("smtp", &options);
        for _ in 0..10 {
            assert_eq!(ask(&*check, PATIENT).await, Ok(Detail::ok()), "{options}");
        }
    }
    assert_eq!(server.log(), log);
}
