//! The `config.sh` of a build folder that others use too: their scripts read the image's tags there. Part of the step
//! to the build folder.

use std::fs;

use camino::Utf8Path;

use crate::error::{Context as _, Result};
use crate::staging::staged::set_mode;
use crate::system::reading;

const CONFIG_SH: &str = "config.sh";

/// The variables that a build folder's `config.sh` gets, with their values.
pub type ConfigSh = [(&'static str, String)];

/// Writes the variables to the end of `config.sh` in `folder`, in place of those of an earlier run.
///
/// # Errors
/// When the file cannot be read or written.
pub fn write_config_sh(folder: &Utf8Path, config_sh: &ConfigSh) -> Result<()> {
    let path = folder.join(CONFIG_SH);
    let cannot = || format!("cannot write `{path}`");
    let old = match reading::text(&path) {
        Ok(old) => old,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).context(cannot),
    };
    let is_ours = |line: &&str| {
        line.split_once('=').is_some_and(|(name, _)| config_sh.iter().any(|(variable, _)| *variable == name))
    };
    let kept: Vec<&str> = old.split_inclusive('\n').filter(|line| !is_ours(line)).collect();
    let kept = kept.concat();
    // The empty line before the variables belongs to them.
    let kept = if kept.len() < old.len() { kept.strip_suffix('\n').unwrap_or(&kept) } else { &kept };
    let variables: Vec<String> = config_sh.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    let temporary = tempfile::Builder::new().prefix(".config").tempfile_in(folder).context(cannot)?;
    fs::write(temporary.path(), format!("{kept}\n{}", variables.concat())).context(cannot)?;
    if let Ok(metadata) = fs::metadata(&path) {
        fs::set_permissions(temporary.path(), metadata.permissions()).context(cannot)?;
    } else {
        set_mode(Utf8Path::from_path(temporary.path()).unwrap_or(&path), 0o644)?;
    }
    temporary.persist(&path).map(drop).map_err(|error| error.error).context(cannot)
}
