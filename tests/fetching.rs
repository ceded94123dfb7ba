//! What the steps that fetch are given: certificates, proxies, secrets. None of it is in the image or in a name.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use support::{Project, docker, run_image};

/// A server that is stopped when it is dropped.
struct Server(Child, u16);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An HTTPS server for this folder on a loopback address, with a certificate of its own authority `ca.pem`.
fn https_server(folder: &std::path::Path) -> Server {
    let script = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout ca.key -out ca.pem -subj '/CN=test authority' 2>/dev/null
        openssl req -newkey rsa:2048 -nodes -keyout key.pem -out csr.pem -subj /CN=localhost 2>/dev/null
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' >ext
        openssl x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out cert.pem 2>/dev/null";
    assert!(Command::new("sh").args(["-ec", script]).current_dir(folder).status().unwrap().success());
    let server = "import http.server, ssl
s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)
c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain('cert.pem', 'key.pem')
s.socket = c.wrap_socket(s.socket, server_side=True)
print(s.server_address[1], flush=True); s.serve_forever()";
    let mut child = Command::new("python3")
        .args(["-c", server])
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    Server(child, line.trim().parse().unwrap())
}

#[test]
fn a_ca_bundle_reaches_the_steps_that_fetch_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let server = https_server(folder.path());
    let shell = |script: &str| {
        assert!(Command::new("sh").args(["-ec", script]).current_dir(folder.path()).status().unwrap().success());
    };
    shell(
        "git init -q r && git -C r -c user.name=t -c user.email=t@t commit -q --allow-empty -m x && git -C r update-server-info",
    );
    // The system's own certificates stay trusted: the registry of crates is reached with them.
    shell("cat /etc/ssl/certs/ca-certificates.crt ca.pem >bundle.pem");
    let bundle = folder.path().join("bundle.pem");
    let marker = fs::read_to_string(folder.path().join("ca.pem")).unwrap().lines().nth(3).unwrap().to_owned();

    let project = Project::hello_on_engine();
    // The dependency stage and the runtime stage both run this.
    project.write(
        "runtime-image.toml",
        format!("prebuild = ['build --release && grep -q \"{marker}\" \"$CARGO_HTTP_CAINFO\"']"),
    );
    let fetch = format!("git ls-remote https://localhost:{}/r/.git", server.1);
    let arguments = ["--extra-deps", &fetch, "--", "--network=host"];
    let run = project.run(&arguments);
    run.fails_with(101, &["certificate"]);
    let with_bundle = [&["--ca-bundle", bundle.to_str().unwrap()], &arguments[..]].concat();
    let image = project.ok(&with_bundle).image().to_owned();
    assert_eq!(image, project.name(&project.tags(&arguments)[0]), "the bundle moved a tag");

    let found = run_image(
        &image,
        &[
            "sh",
            "-c",
            &format!(
                "ls /run/secrets 2>/dev/null; grep -rlF '{marker}' / --exclude-dir=proc --exclude-dir=sys --exclude=runtime-image.toml || true"
            ),
        ],
    );
    assert_eq!(found, "", "the bundle is in the image");
    assert!(!docker(&["image", "inspect", &image]).contains("ca-bundle"), "the configuration tells of it");
}

#[test]
fn secrets_and_keys_reach_the_steps_that_fetch_and_proxies_are_passed_on() {
    let project = Project::hello_on_engine();
    project.write("target/token", "s3cret");
    let key = project.root.join("target/key");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    assert!(made.unwrap().success());
    let deps = "test \"$(wc -c </run/secrets/token)\" = 6 && test -S \"$SSH_AUTH_SOCK\" && echo proxy is $http_proxy >/etc/proxy";
    let arguments = ["--extra-deps", deps];
    let given = ["--secret", "TYPE=file,\"ID=token\",src=target/token", "--ssh", "mykey=target/key"];
    let mut command = project.command(&[&given, &arguments[..]].concat());
    command.env("http_proxy", "http://127.0.0.1:9").env("NO_PROXY", "*").env("no_proxy", "*");
    let run = support::Run::from(command.output().unwrap());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.image(), project.name(&project.tags(&arguments)[0]), "a secret, a key or a proxy moved a tag");
    assert_eq!(run_image(run.image(), &["cat", "/etc/proxy"]), "proxy is http://127.0.0.1:9\n");
    assert!(!run_image(run.image(), &["env"]).contains("proxy"));
    assert!(!docker(&["history", "--no-trunc", run.image()]).contains("s3cret"));
}
