//! Certificates as administrators and devices have them, made by OpenSSL: whom every kind trusts,
//! and how what this client cannot verify is said.

use std::sync::Arc;

use rustls::ServerConfig;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use vitalsign::{Outcome, Reason};

use crate::support::certs::{Identity, file};
use crate::support::checks::{SHORT, ask, check, run};
use crate::support::openssl::{NAMES, OpenSsl};
use crate::support::peer::{Peer, Script};

const RSA: &str = "rsa:2048";
const P256: &str = "ec -pkeyopt ec_paramgen_curve:prime256v1";
const P384: &str = "ec -pkeyopt ec_paramgen_curve:secp384r1";
const P521: &str = "ec -pkeyopt ec_paramgen_curve:secp521r1";
const PSS: &str = "rsa-pss -pkeyopt rsa_keygen_bits:2048";
const PSS_SHA256: &str = "rsa-pss -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_pss_keygen_md:sha256 \
    -pkeyopt rsa_pss_keygen_mgf1_md:sha256 -pkeyopt rsa_pss_keygen_saltlen:32";

const ANY: &str = "tls.insecure = true";

fn trusting(openssl: &OpenSsl, ca: &str) -> String {
    format!("tls.ca = '{}'", openssl.path(&format!("{ca}.pem")).display())
}

/// What the kind `tls` makes of a server that shows the certificate `name`, asked with `tls`.
async fn asked(
    openssl: &OpenSsl,
    name: &str,
    settings: &str,
    tls: &str,
) -> Result<(), (Reason, String)> {
    let server = openssl.serve(name, settings).await;
    let options = format!("address = 'localhost:{}'\n{tls}", server.port);
    let run = run(check("tls", &options)).await;
    match run.outcome {
        Outcome::Success => Ok(()),
        _ => Err((run.reason.unwrap_or(Reason::Other), run.message.unwrap_or_default())),
    }
}

/// Fails with this reason, and a message that holds `text` and no name of a type.
fn assert_refused(what: &str, verdict: Result<(), (Reason, String)>, reason: Reason, text: &str) {
    let (found, message) = verdict.expect_err(what);
    assert_eq!(found, reason, "{what}: {message}");
    assert!(message.contains(text), "{what}: {message}");
    for debug in ["Other(", "Context", "Error(", "{", "AsEndEntity", "HandshakeFailure"] {
        assert!(!message.contains(debug), "{what}: {message}");
    }
}

/// Is trusted; keys for RSA-PSS alone are known in TLS 1.3 and said to be unknown in 1.2.
fn assert_known(name: &str, version: &str, verdict: Result<(), (Reason, String)>) {
    if name.starts_with("pss") && version == "-tls1_2" {
        let text = "a key for RSA-PSS alone, which this client knows in TLS 1.3 and not in 1.2";
        assert_refused(name, verdict, Reason::TlsFailed, text);
    } else {
        assert_eq!(verdict, Ok(()), "{name} {version}");
    }
}

#[tokio::test]
async fn the_very_certificate_that_the_option_names_is_trusted() {
    let Some(openssl) = OpenSsl::new() else { return };
    let named = format!("-subj /CN=localhost -addext {NAMES}");
    openssl.self_signed("plain", RSA, &named);
    openssl.self_signed("curve", P256, &named);
    openssl.self_signed("p521", P521, &named);
    openssl.self_signed("pss", PSS, &named);
    openssl.self_signed(
        "leaf",
        RSA,
        &format!("{named} -addext basicConstraints=critical,CA:FALSE"),
    );
    openssl.self_signed("common", RSA, "-subj /CN=LocalHost");
    openssl.self_signed("v3", P256, "-subj /CN=localhost");
    openssl.run("x509 -in v3.pem -signkey v3.key -x509toreq -out v1.csr");
    openssl.run("x509 -req -in v1.csr -signkey v3.key -out v1.pem -days 30");
    std::fs::copy(openssl.path("v3.key"), openssl.path("v1.key")).expect("the key again");
    for name in ["plain", "curve", "p521", "pss", "leaf", "common", "v1"] {
        for version in ["-tls1_3", "-tls1_2"] {
            let verdict = asked(&openssl, name, version, &trusting(&openssl, name)).await;
            assert_known(name, version, verdict);
        }
        assert_eq!(asked(&openssl, name, "", ANY).await, Ok(()), "{name} with any certificate");
    }
    let other = "-subj /CN=elsewhere";
    openssl.self_signed("other", RSA, other);
    let verdict = asked(&openssl, "other", "", &trusting(&openssl, "other")).await;
    let text = "its certificate is for elsewhere, and not for localhost";
    assert_refused("another name", verdict, Reason::TlsNameMismatch, text);
    let verdict = asked(&openssl, "plain", "", &trusting(&openssl, "curve")).await;
    let text = "which this client takes only where `tls.ca` names that very certificate";
    assert_refused("another certificate", verdict, Reason::TlsUntrusted, text);
}

#[tokio::test]
async fn every_key_that_servers_use_is_known() {
    let Some(openssl) = OpenSsl::new() else { return };
    for (authority, key) in [("p256", P256), ("rsa", RSA), ("p521", P521), ("pss", PSS_SHA256)] {
        openssl.self_signed(authority, key, "-subj /CN=CA");
    }
    for (name, key, authority) in [
        ("ec384", P384, "p256"),
        ("ec521", P521, "p256"),
        ("psskey", PSS, "p256"),
        ("pss256", PSS_SHA256, "rsa"),
        ("edwards", "ed25519", "rsa"),
        ("by521", P256, "p521"),
        ("bypss", RSA, "pss"),
    ] {
        openssl.issue(name, key, authority, &[NAMES], "");
        for version in ["-tls1_3", "-tls1_2"] {
            let verdict = asked(&openssl, name, version, &trusting(&openssl, authority)).await;
            assert_known(name, version, verdict);
        }
    }
}

#[tokio::test]
async fn what_this_client_cannot_verify_is_said_as_its_limit_and_insecure_takes_it() {
    let Some(openssl) = OpenSsl::new() else { return };
    openssl.self_signed("ca", RSA, "-subj /CN=CA");
    let constrained =
        ["basicConstraints=critical,CA:TRUE", "nameConstraints=permitted;dirName:who"];
    let section = "[who]\nCN=localhost";
    openssl.issue("sub", P256, "ca", &[constrained[0], constrained[1], section], "");
    openssl.issue("directory", P256, "sub", &[NAMES], "");
    openssl.issue("small", "rsa:1024", "ca", &[NAMES], "");
    openssl.issue("version1", P256, "ca", &[], "");
    openssl.issue("authority", P256, "ca", &[NAMES, "basicConstraints=CA:TRUE"], "");
    openssl.issue("unnamed", P256, "ca", &["basicConstraints=CA:FALSE"], "");
    openssl.issue("sha1", P256, "ca", &[NAMES], "-sha1");
    openssl.issue("edwards", "ed448", "ca", &[NAMES], "");
    let ca = trusting(&openssl, "ca");
    let weak = "-cipher DEFAULT:@SECLEVEL=0";
    let untrusted = Reason::TlsUntrusted;
    for (name, served, reason, text) in [
        ("directory", "-cert_chain sub.pem", untrusted, "limited to directory names"),
        (
            "small",
            weak,
            untrusted,
            "its RSA key has 1024 bits, and this client verifies by keys of",
        ),
        ("version1", "", untrusted, "of an old version of X.509, which this client takes only"),
        ("authority", "", untrusted, "is that of an authority, which this client takes only"),
        ("unnamed", "", Reason::TlsNameMismatch, "has no alternative names (subjectAltName), and"),
        (
            "sha1",
            weak,
            untrusted,
            "signature that this client does not know (P-256, RSA with SHA-1)",
        ),
        ("edwards", "", Reason::TlsFailed, "a key, signature or cipher that this client does not"),
    ] {
        let verdict = asked(&openssl, name, served, &ca).await;
        assert_refused(name, verdict, reason, text);
        assert_eq!(asked(&openssl, name, served, ANY).await, Ok(()), "{name} with any certificate");
    }
    let old = "-tls1_1 -cipher DEFAULT:@SECLEVEL=0";
    let verdict = asked(&openssl, "small", old, ANY).await;
    assert_refused("TLS 1.1", verdict, Reason::TlsFailed, "neither TLS 1.2 nor 1.3");
    let verdict = asked(&openssl, "version1", "-groups X448", ANY).await;
    assert_refused("key exchange", verdict, Reason::TlsFailed, "that this client does not know");
}

/// A server that says `lines`, each but the first after something was heard, and then speaks TLS.
fn after(lines: &'static [&'static str], config: Arc<ServerConfig>) -> Script {
    let acceptor = TlsAcceptor::from(config);
    Arc::new(move |mut wire| {
        let acceptor = acceptor.clone();
        Box::pin(async move {
            for line in lines {
                wire.write_all(line.as_bytes()).await.ok()?;
                if line.ends_with('\n') && !line.starts_with("INFO") && *line != "220 go\r\n" {
                    let heard = wire.read(&mut [0; 1024]).await.ok()?;
                    if heard == 0 {
                        return None;
                    }
                }
            }
            Some(Box::new(acceptor.accept(wire).await.ok()?) as _)
        })
    })
}

const INFO: &str = "INFO {\"server_id\":\"a\",\"version\":\"2.10.0\",\"max_payload\":1048576,\
    \"tls_required\":true}\r\n";

#[tokio::test]
async fn every_kind_takes_the_certificate_that_the_option_names() {
    let Some(openssl) = OpenSsl::new() else { return };
    let named = format!("-subj /CN=localhost -addext {NAMES}");
    openssl.self_signed("named", RSA, &named);
    let identity = Identity { cert: openssl.read("named.pem"), key: openssl.read("named.key") };
    let ca = file(&identity.cert);
    let marked = file(&format!("\u{feff}{}", identity.cert));
    for (kind, options, lines) in [
        ("amqp", "url = 'amqps://ADDRESS'", &[][..]),
        ("grpc", "address = 'ADDRESS'", &[]),
        ("http", "url = 'https://ADDRESS/'", &[]),
        ("kafka", "url = 'kafkas://ADDRESS'", &[]),
        ("memcached", "address = 'ADDRESS'", &[]),
        ("mongodb", "url = 'mongodb://ADDRESS'", &[]),
        ("mqtt", "url = 'mqtts://ADDRESS'", &[]),
        ("nats", "url = 'tls://ADDRESS'", &[INFO]),
        ("redis", "url = 'rediss://ADDRESS'", &[]),
        ("smtp", "address = 'ADDRESS'\nmode = 'tls'", &[]),
        (
            "smtp",
            "address = 'ADDRESS'\nmode = 'starttls'",
            &["220 mail\r\n", "250-mail\r\n250 STARTTLS\r\n", "220 go\r\n"],
        ),
        ("tcp", "address = 'ADDRESS'", &[]),
        ("tls", "address = 'ADDRESS'", &[]),
        ("vitalsign", "url = 'https://ADDRESS'", &[]),
        ("websocket", "url = 'wss://ADDRESS/'", &[]),
    ] {
        let mut config = ServerConfig::clone(&identity.server(None));
        if kind == "grpc" {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        let peer = Peer::start(after(lines, Arc::new(config))).await;
        let address = format!("localhost:{}", peer.address.port());
        let options = options.replace("ADDRESS", &address);
        let naming = |ca: &NamedTempFile| format!("tls.ca = '{}'", ca.path().display());
        for (tls, trusted) in
            [(naming(&ca), true), (naming(&marked), true), ("tls = {}".to_owned(), false)]
        {
            // What comes after the handshake is in no protocol, and so mostly a failure.
            let failed = ask(&*check(kind, &format!("{options}\n{tls}")), SHORT).await.err();
            let reason = failed.as_ref().map_or("", |failure| failure.reason().as_str());
            let why = failed.as_ref().map(|failure| failure.message().to_owned());
            assert_eq!(reason.starts_with("tls_"), !trusted, "{kind} {tls}: {why:?}");
        }
    }
}
