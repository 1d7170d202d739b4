//! The front over TLS, with a certificate that is made here.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::example::python;
use crate::harness::{Broker, eventually, output, plimsoll};

/// A certificate for this host that has signed itself, and its key, as files in `folder`.
fn certificate(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let hosts = ["localhost", "127.0.0.1"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(hosts).unwrap();
    let (cert, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (cert, key)
}

fn config(cert: &Path, key: &Path) -> String {
    let [cert, key] = [cert, key].map(|path| path.display().to_string());
    format!(
        "[host]\nmemory = \"100Mi\"\n[server]\ntoken = \"s3cret\"\n\
         [server.tls]\ncert = {cert:?}\nkey = {key:?}\n[models.a]\nembedded = \"16Mi\"\n"
    )
}

/// `plimsoll ps` against `url`: its exit code and what it says.
fn ps(url: &str, ca: Option<&Path>) -> (Option<i32>, String) {
    let mut command = plimsoll(&["ps", "--json", "--token", "s3cret", "--url", url]);
    command.env_remove("PLIMSOLL_CA");
    if let Some(ca) = ca {
        command.arg("--ca").arg(ca);
    }
    let (code, said, errors) = output(&mut command);
    (code, said + &errors)
}

#[test]
fn the_front_speaks_tls_to_those_who_trust_it_and_to_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(folder.path(), "own");
    let (other, _) = certificate(folder.path(), "other");
    let broker = Broker::start(&config(&cert, &key));
    let url = format!("https://{}", broker.address);
    // Somebody who says nothing holds up nobody.
    let _silent = TcpStream::connect(broker.address).unwrap();
    let (code, said) = ps(&url, Some(&cert));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("\"limit\""), "{said}");
    let named = url.replace("127.0.0.1", "localhost");
    assert_eq!(ps(&named, Some(&cert)).0, Some(0), "by its name as well");
    let (code, said) = ps(&url, Some(&other));
    assert_ne!(code, Some(0), "a stranger's certificate: {said}");
    assert!(said.contains("certificate"), "{said}");
    let (code, said) = ps(&url, None);
    assert!(code == Some(2) && said.contains("--ca"), "{code:?} {said}");
    let (code, said) = ps(&url.replace("https", "http"), None);
    assert_ne!(code, Some(0), "plain HTTP: {said}");
    let mut plain = TcpStream::connect(broker.address).unwrap();
    plain.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut told = Vec::new();
    let _ = plain.read_to_end(&mut told);
    assert!(!told.starts_with(b"HTTP/"), "{told:?}");
}

#[test]
fn leases_over_tls_need_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(folder.path(), "own");
    let broker = Broker::start(&config(&cert, &key));
    let url = format!("https://{}", broker.address);
    let run = |token: &str| {
        let mut run = plimsoll(&["run", "--url", &url, "--token", token, "--name", "job"]);
        run.args(["--memory", "8Mi", "--ca"]).arg(&cert).args(["--", "true"]);
        output(run.env("PLIMSOLL_STATE", folder.path()))
    };
    assert_eq!(run("s3cret").0, Some(0));
    let (code, _, errors) = run("guessed");
    assert!(code != Some(0) && errors.contains("token"), "{code:?} {errors}");
    let Some(mut python) = python("leases_over_tls_need_the_token", &url) else { return };
    python.env("PLIMSOLL_TOKEN", "s3cret").env("PLIMSOLL_CA", &cert);
    let (code, _, errors) = output(python.args(["--name", "job", "--memory", "8Mi", "--", "true"]));
    assert_eq!(code, Some(0), "{errors}");
}

#[test]
fn files_that_cant_be_used_are_named_with_their_key() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(folder.path(), "own");
    let (other, _) = certificate(folder.path(), "other");
    let missing = folder.path().join("nowhere.pem");
    let path = folder.path().join("plimsoll.toml");
    let check = |cert: &Path, key: &Path, parts: [&str; 2]| {
        std::fs::write(&path, config(cert, key)).unwrap();
        for verb in ["check", "serve"] {
            let (code, said, errors) =
                output(plimsoll(&[verb, "--config"]).arg(&path).current_dir(folder.path()));
            assert_eq!(code, Some(2), "{verb}: {said} {errors}");
            assert!(parts.iter().all(|part| errors.contains(part)), "{verb} {parts:?}: {errors}");
        }
    };
    check(&missing, &key, ["server.tls.cert", "nowhere.pem"]);
    check(&cert, &missing, ["server.tls.key", "nowhere.pem"]);
    check(&key, &key, ["server.tls.cert", "there is no certificate"]);
    check(&cert, &cert, ["server.tls.key", "there is no private key"]);
    check(&other, &key, ["server.tls.key", "does not belong"]);
}

#[test]
fn a_new_certificate_is_taken_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(folder.path(), "own");
    let (next, next_key) = certificate(folder.path(), "next");
    let broker = Broker::start(&config(&cert, &key));
    let url = format!("https://{}", broker.address);
    let old = folder.path().join("old.pem");
    std::fs::copy(&cert, &old).unwrap();
    std::fs::copy(&next, &cert).unwrap();
    // Half of the pair: everything stays as it is.
    broker.signal(Signal::HUP);
    broker.until(&["the config is as it was"]);
    assert_eq!(ps(&url, Some(&old)).0, Some(0));
    std::fs::copy(&next_key, &key).unwrap();
    broker.signal(Signal::HUP);
    eventually("the new one is shown", || ps(&url, Some(&next)).0, |code| *code == Some(0));
    assert_ne!(ps(&url, Some(&old)).0, Some(0));
}
