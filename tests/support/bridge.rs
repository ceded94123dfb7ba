//! A builder outside the engine, as far as buildx can tell: its driver `remote`, connected to the BuildKit in the
//! engine.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;

use tempfile::TempDir;

use super::{containerd_store, copy, docker_with};

/// A builder of the driver `remote`, in a copy of docker's configuration. Its connections end with the test.
pub struct RemoteBuilder {
    config: TempDir,
    pub name: &'static str,
}

impl RemoteBuilder {
    /// A builder that is connected to the engine of the tests.
    pub fn new() -> Self {
        assert!(
            containerd_store(),
            "the BuildKit of an engine with the classic image store cannot be used from outside"
        );
        let engine = std::env::var("DOCKER_HOST").ok();
        let socket = engine.as_deref().map_or("/var/run/docker.sock", |host| host.strip_prefix("unix://").unwrap());
        let socket = socket.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let socket = socket.clone();
                // A connection that is gone is the client's to tell of.
                thread::spawn(move || bridge(client, &socket));
            }
        });
        let builder = Self { config: tempfile::tempdir().unwrap(), name: "ri-remote" };
        let own = std::env::var("DOCKER_CONFIG").map(std::path::PathBuf::from).ok();
        let own = own.or_else(|| std::env::home_dir().map(|home| home.join(".docker"))).unwrap();
        if own.is_dir() {
            copy(&own, builder.config.path());
        }
        let address = format!("tcp://127.0.0.1:{port}");
        docker_with(
            &builder.environment(),
            &["buildx", "create", "--driver", "remote", "--name", builder.name, &address],
        );
        builder
    }

    /// What the command under test needs to know of it.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        [
            ("DOCKER_CONFIG", self.config.path().to_str().unwrap().to_owned()),
            ("RUNTIME_IMAGE_BUILDER", self.name.to_owned()),
        ]
    }
}

/// The engine speaks BuildKit's protocol on a connection that asks for it.
fn bridge(client: TcpStream, socket: &str) -> std::io::Result<()> {
    let mut engine = UnixStream::connect(socket)?;
    engine.write_all(b"POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")?;
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        engine.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let (mut from_client, mut to_engine) = (client.try_clone()?, engine.try_clone()?);
    thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_engine);
        let _ = to_engine.shutdown(Shutdown::Both);
    });
    let mut client = client;
    std::io::copy(&mut engine, &mut client)?;
    client.shutdown(Shutdown::Both)
}
