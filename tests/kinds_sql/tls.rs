//! TLS towards databases: verified when asked for, and each fault with its own reason.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;
use vitalsign::{Detail, Reason};

use super::{PLENTY, ask, assert_failed, check, failure};
use crate::support::mariadb::{self, MariaDb};
use crate::support::openssl::{NAMES, OpenSsl};
use crate::support::postgres::{PASSWORD, Postgres};

/// An authority whose certificate lies in a file.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new([]).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        Self { issuer, dir: tempfile::tempdir().expect("a directory") }
    }

    /// Path of its certificate.
    pub(super) fn ca(&self) -> PathBuf {
        self.file("ca.pem", &self.issuer.pem())
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).expect("to write");
        path
    }

    /// Paths of a chain and a key for `name`, which a server may read.
    pub(super) fn server_files(&self, name: &str) -> (String, String) {
        let (cert, key) = self.certify(name, 2999);
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(self.dir.path(), readable).expect("to open the directory");
        let file = |name, text: &str| self.file(name, text).display().to_string();
        (file("server.pem", &cert), file("server.key", &key))
    }

    /// Chain and key for `name`, valid until the end of `year`.
    pub(super) fn certify(&self, name: &str, year: i32) -> (String, String) {
        let mut params = CertificateParams::new([name.to_owned()]).expect("parameters");
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 12, 31);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

/// A Postgres that offers TLS with a certificate for `name`.
async fn postgres(authority: &Authority, name: &str, year: i32) -> Option<Postgres> {
    let (cert, key) = authority.certify(name, year);
    Postgres::start_with(&["ssl=on"], &[("server.crt", &cert), ("server.key", &key)]).await
}

async fn outcome(server: &Postgres, tls: &str) -> Result<Detail, Reason> {
    let check = check("postgres", &format!("url = '{}'\n{tls}", server.url()));
    ask(&*check, PLENTY).await.map_err(|failure| failure.reason())
}

fn trusting(authority: &Authority) -> String {
    format!("tls.ca = '{}'", authority.ca().display())
}

#[tokio::test]
async fn a_certificate_must_be_of_a_trusted_authority() {
    let (ours, other) = (Authority::new(), Authority::new());
    let Some(server) = postgres(&ours, "127.0.0.1", 2999).await else { return };
    assert_eq!(outcome(&server, &trusting(&ours)).await, Ok(Detail::ok()));
    assert_eq!(outcome(&server, &trusting(&other)).await, Err(Reason::TlsUntrusted));
    assert_eq!(outcome(&server, "tls = true").await, Err(Reason::TlsUntrusted));
    assert_eq!(outcome(&server, "tls.insecure = true").await, Ok(Detail::ok()));
    // The URL's own mode goes on working.
    let ca = ours.ca();
    for (mode, wanted) in
        [("require", Ok(Detail::ok())), ("verify-full", Err(Reason::TlsUntrusted))]
    {
        let url = format!("url = '{}?sslmode={mode}'", server.url());
        let verdict = ask(&*check("postgres", &url), PLENTY).await;
        assert_eq!(verdict.map_err(|f| f.reason()), wanted, "{mode}");
    }
    let url = format!("url = '{}?sslmode=verify-full&sslrootcert={}'", server.url(), ca.display());
    assert_eq!(ask(&*check("postgres", &url), PLENTY).await, Ok(Detail::ok()));
}

#[tokio::test]
async fn a_certificate_must_be_for_the_host_and_not_expired() {
    let ours = Authority::new();
    let Some(server) = postgres(&ours, "other.example", 2999).await else { return };
    assert_eq!(outcome(&server, &trusting(&ours)).await, Err(Reason::TlsNameMismatch));
    let Some(server) = postgres(&ours, "127.0.0.1", 2001).await else { return };
    assert_eq!(outcome(&server, &trusting(&ours)).await, Err(Reason::TlsExpired));
}

#[tokio::test]
async fn a_server_without_tls_fails_a_check_that_wants_it() {
    let Some(server) = Postgres::start().await else { return };
    let check = check("postgres", &format!("url = '{}'\ntls = true", server.url()));
    let plain = failure(&*check, PLENTY).await;
    assert_failed(&plain, Reason::TlsFailed, "does not support TLS", PASSWORD);
    assert_eq!(outcome(&server, "tls = false").await, Ok(Detail::ok()));
}

#[tokio::test]
async fn a_client_certificate_is_presented() {
    let ours = Authority::new();
    let (cert, key) = ours.certify("127.0.0.1", 2999);
    let ca = std::fs::read_to_string(ours.ca()).expect("the authority");
    let rule = "hostssl all all 127.0.0.1/32 cert\nhost all all 127.0.0.1/32 scram-sha-256\n";
    let files = [("server.crt", &*cert), ("server.key", &*key), ("ca.crt", &*ca)];
    let files = [files.as_slice(), &[("pg_hba.conf", rule)]].concat();
    let settings = ["ssl=on", "ssl_ca_file=ca.crt"];
    let Some(server) = Postgres::start_with(&settings, &files).await else { return };

    let (cert, key) = ours.certify("postgres", 2999);
    let (cert, key) = (ours.file("client.pem", &cert), ours.file("client.key", &key));
    let client = format!("tls.cert = '{}'\ntls.key = '{}'", cert.display(), key.display());
    let with = format!("{}\n{client}", trusting(&ours));
    assert_eq!(outcome(&server, &with).await, Ok(Detail::ok()));
    assert_eq!(outcome(&server, &trusting(&ours)).await, Err(Reason::AuthFailed));
}

/// Certificates that the driver of the kind `postgres` does not take, and what is said of them;
/// the kind `mysql` takes them as every other kind does.
#[tokio::test]
async fn what_a_driver_does_not_take_is_said_to_be_its_limit_and_mysql_takes_it() {
    let Some(openssl) = OpenSsl::new() else { return };
    openssl.self_signed("own", "rsa:2048", &format!("-subj /CN=localhost -addext {NAMES}"));
    openssl.self_signed("p521", "ec -pkeyopt ec_paramgen_curve:secp521r1", "-subj /CN=CA");
    openssl.issue("leaf", "ec -pkeyopt ec_paramgen_curve:secp521r1", "p521", &[NAMES], "");
    let marked = format!("\u{feff}{}", openssl.read("own.pem"));
    std::fs::write(openssl.path("marked.pem"), marked).expect("to write");
    openssl.readable();
    for (name, ca) in [("own", "own"), ("own", "marked"), ("leaf", "p521")] {
        let [cert, key] = ["pem", "key"].map(|end| openssl.path(&format!("{name}.{end}")));
        let [cert, key] = [&cert, &key].map(|path| path.display().to_string());
        let settings = [format!("ssl-cert={cert}"), format!("ssl-key={key}")];
        let settings: Vec<_> = settings.iter().map(String::as_str).collect();
        let Some(server) = MariaDb::start_with(&settings).await else { return };
        let tls = format!("tls.ca = '{}'", openssl.path(&format!("{ca}.pem")).display());
        let url = server.url().replace("127.0.0.1", "localhost");
        let verdict = ask(&*check("mysql", &format!("url = '{url}'\n{tls}")), PLENTY).await;
        assert_eq!(verdict, Ok(Detail::ok()), "{name} by {ca}");
        let insecure = format!("url = '{url}'\ntls.insecure = true");
        assert_eq!(ask(&*check("mysql", &insecure), PLENTY).await, Ok(Detail::ok()), "{name}");

        let [cert, key] = ["pem", "key"].map(|end| openssl.read(&format!("{name}.{end}")));
        let files = [("server.crt", &*cert), ("server.key", &*key)];
        let Some(server) = Postgres::start_with(&["ssl=on"], &files).await else { return };
        let url = server.url().replace("127.0.0.1", "localhost");
        let limit = failure(&*check("postgres", &format!("url = '{url}'\n{tls}")), PLENTY).await;
        let reason = if name == "own" { Reason::TlsUntrusted } else { Reason::TlsFailed };
        assert_failed(&limit, reason, "the driver of this kind takes no", PASSWORD);
    }
}

#[tokio::test]
async fn a_byte_order_mark_before_a_certificate_or_a_key_is_passed_over() {
    let ours = Authority::new();
    let Some(server) = postgres(&ours, "127.0.0.1", 2999).await else { return };
    let marked = |path: &std::path::Path| {
        let text = std::fs::read_to_string(path).expect("a file");
        std::fs::write(path, format!("\u{feff}{text}")).expect("to write");
    };
    let ca = ours.ca();
    marked(&ca);
    let by_option = format!("tls.ca = '{}'", ca.display());
    assert_eq!(outcome(&server, &by_option).await, Ok(Detail::ok()));
    let query = format!("sslmode=verify-full&sslrootcert={}", ca.display());
    let by_url = check("postgres", &format!("url = '{}?{query}'", server.url()));
    assert_eq!(ask(&*by_url, PLENTY).await, Ok(Detail::ok()));
    let (cert, key) = ours.certify("client", 2999);
    let (cert, key) = (ours.file("client.pem", &cert), ours.file("client.key", &key));
    marked(&cert);
    marked(&key);
    let client =
        format!("{by_option}\ntls.cert = '{}'\ntls.key = '{}'", cert.display(), key.display());
    assert_eq!(outcome(&server, &client).await, Ok(Detail::ok()));
}

#[tokio::test]
async fn mysql_verifies_too() {
    let (ours, other) = (Authority::new(), Authority::new());
    let (cert, key) = ours.certify("127.0.0.1", 2999);
    let (cert, key) = (ours.file("server.pem", &cert), ours.file("server.key", &key));
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(ours.dir.path(), readable).expect("to open the directory");
    let settings = [format!("ssl-cert={}", cert.display()), format!("ssl-key={}", key.display())];
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let Some(server) = MariaDb::start_with(&settings).await else { return };
    for (tls, wanted) in [
        (trusting(&ours), Ok(Detail::ok())),
        (trusting(&other), Err(Reason::TlsUntrusted)),
        ("tls.insecure = true".to_owned(), Ok(Detail::ok())),
        ("tls = false".to_owned(), Ok(Detail::ok())),
    ] {
        let check = check("mysql", &format!("url = '{}'\n{tls}", server.url()));
        let verdict = ask(&*check, PLENTY).await;
        assert!(!format!("{verdict:?}").contains(mariadb::PASSWORD));
        assert_eq!(verdict.map_err(|f| f.reason()), wanted, "{tls}");
    }
}
