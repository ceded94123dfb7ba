//! Platforms: `os/architecture[/variant]`, spelled the way image indexes spell them.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// A platform in its normal form: `linux/amd64`, `linux/arm64`, `linux/arm/v7`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl Platform {
    /// From the parts as engines and image indexes give them; `x86_64` and `aarch64` are understood.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let variant = variant.filter(|variant| !variant.is_empty());
        let (architecture, variant) = match (architecture, variant) {
            ("x86_64" | "x86-64" | "amd64", variant) => ("amd64", variant.filter(|variant| *variant != "v1")),
            ("aarch64" | "arm64", variant) => ("arm64", variant.filter(|variant| *variant != "v8")),
            ("armhf" | "armv7l" | "armv7", _) | ("arm", None) => ("arm", Some("v7")),
            ("armel" | "armv6l", _) => ("arm", Some("v6")),
            ("i386" | "i686", _) => ("386", None),
            other => other,
        };
        Self { os: os.to_owned(), architecture: architecture.to_owned(), variant: variant.map(str::to_owned) }
    }

    /// Whether a machine of this platform runs programs for `other` without emulation, as far as one can tell.
    pub fn runs(&self, other: &Self) -> bool {
        self.os == other.os
            && match (self.architecture.as_str(), other.architecture.as_str()) {
                (own, others) if own == others => true,
                ("amd64", others) => others == "386",
                ("arm64", others) => others == "arm",
                _ => false,
            }
    }

    /// Those of `platforms` that machines of the platforms `native` only emulate.
    pub fn emulated_by(native: &[Self], platforms: &[Self]) -> Vec<Self> {
        let is_emulated = |platform: &&Self| !native.iter().any(|native| native.runs(platform));
        platforms.iter().filter(is_emulated).cloned().collect()
    }

    /// Rust's name for the target that programs for this platform are compiled for on others; none where that is not
    /// done.
    pub fn rust_target(&self) -> Option<&'static str> {
        Some(match (self.architecture.as_str(), self.variant.as_deref()) {
            ("amd64", None) => "x86_64-unknown-linux-gnu",
            ("arm64", None) => "aarch64-unknown-linux-gnu",
            ("arm", Some("v7")) => "armv7-unknown-linux-gnueabihf",
            ("riscv64", None) => "riscv64gc-unknown-linux-gnu",
            ("s390x", None) => "s390x-unknown-linux-gnu",
            ("ppc64le", None) => "powerpc64le-unknown-linux-gnu",
            _ => return None,
        })
    }

    /// What a Linux engine on this machine runs.
    pub fn of_this_machine() -> Self {
        let architecture = match std::env::consts::ARCH {
            "powerpc64" => "ppc64le",
            "x86" => "386",
            "loongarch64" => "loong64",
            other => other,
        };
        Self::new("linux", architecture, None)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(formatter, "/{variant}"))
    }
}

impl FromStr for Platform {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let lower = text.to_ascii_lowercase();
        let parts: Vec<&str> = lower.split('/').collect();
        let platform = match parts[..] {
            ["linux"] => Self::of_this_machine(),
            ["linux", architecture] | [architecture] => Self::new("linux", architecture, None),
            ["linux", architecture, variant] | [architecture, variant] => {
                Self::new("linux", architecture, Some(variant).filter(|variant| !variant.is_empty()))
            }
            _ => return Err(unknown(text)),
        };
        if lower.ends_with('/') || !platform.is_known() { Err(unknown(text)) } else { Ok(platform) }
    }
}

impl Platform {
    /// Whether images are made for it: what Go builds for on Linux, with the variants that containerd knows.
    fn is_known(&self) -> bool {
        matches!(
            (self.architecture.as_str(), self.variant.as_deref()),
            ("amd64", None | Some("v2" | "v3" | "v4"))
                | ("arm64", None | Some("v9"))
                | ("arm", Some("v5" | "v6" | "v7" | "v8"))
                | ("386" | "loong64" | "mips64le" | "ppc64le" | "riscv64" | "s390x", None)
        )
    }
}

fn unknown(text: &str) -> Error {
    Error::usage(format!("invalid platform {text:?}")).hint(
        "a platform reads `linux/architecture[/variant]`, for example `linux/amd64`, `linux/arm64` or `linux/arm/v7`",
    )
}

/// Platforms as one comma-separated word, the form of `--platform`.
pub fn joined(platforms: &[Platform]) -> String {
    platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("linux/amd64", "linux/amd64")]
    #[case("amd64", "linux/amd64")]
    #[case("x86_64", "linux/amd64")]
    #[case("linux/arm64/v8", "linux/arm64")]
    #[case("arm64/v8", "linux/arm64")]
    #[case("Linux/AArch64", "linux/arm64")]
    #[case("linux/arm/v7", "linux/arm/v7")]
    #[case("linux/arm", "linux/arm/v7")]
    #[case("linux/arm/v6", "linux/arm/v6")]
    fn spellings_are_normalised(#[case] text: &str, #[case] expected: &str) -> Result<()> {
        assert_eq!(text.parse::<Platform>()?.to_string(), expected);
        Ok(())
    }

    #[rstest]
    #[case("")]
    #[case("linux/")]
    #[case("amd65")]
    #[case("linux/amd64/v2/x")]
    #[case("linux/amd 64")]
    #[case("linux/amd65")]
    #[case("linux/amd64/banana")]
    #[case("linux/s390x/v2")]
    #[case("linux/arm64/")]
    #[case("windows/amd64")]
    fn what_is_no_platform_is_a_usage_error(#[case] text: &str) {
        assert_eq!(text.parse::<Platform>().expect_err(text).exit_code(), 2);
    }
}
