//! What the steps of an image are given: mounts of secrets, certificates, users, commands.

use crate::config::options::Options;
use crate::config::values::Cmd;

/// The name under which the CA bundle is handed to BuildKit.
pub const CA_BUNDLE_SECRET: &str = "ca-bundle";

/// The name of a user that the image may lack: `user` without its group, unless it is a number or root.
pub fn user_to_create(user: &str) -> Option<String> {
    let name = user.split(':').next().unwrap_or_default();
    let number = name.bytes().all(|byte| byte.is_ascii_digit());
    (!number && name != "root").then(|| name.to_owned())
}

/// What the steps that fetch see: the secrets, readable for every user of the build, and the SSH agent.
pub fn mounts(options: &Options) -> String {
    let ids = options.secrets.iter().filter_map(|secret| secret.split(',').find_map(|part| part.strip_prefix("id=")));
    let bundle = options.ca_bundle.iter().map(|_| CA_BUNDLE_SECRET);
    let secrets = ids.chain(bundle).map(|id| format!("--mount=type=secret,id={id},mode=0444 "));
    secrets.chain(options.ssh.first().map(|_| "--mount=type=ssh ".to_owned())).collect()
}

/// Lets everything that fetches trust the mounted certificates.
pub fn trust() -> String {
    let names = "SSL_CERT_FILE CARGO_HTTP_CAINFO CURL_CA_BUNDLE GIT_SSL_CAINFO REQUESTS_CA_BUNDLE NODE_EXTRA_CA_CERTS";
    format!("for name in {names}; do export \"$name=/run/secrets/{CA_BUNDLE_SECRET}\"; done; ")
}

/// A default command as a Dockerfile spells it.
pub fn cmd_text(cmd: &Cmd) -> String {
    match cmd {
        Cmd::Shell(line) => line.clone(),
        Cmd::Exec(words) => serde_json::Value::from(words.as_slice()).to_string(),
    }
}
