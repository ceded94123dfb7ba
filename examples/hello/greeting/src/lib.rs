//! Words for the program beside it.

/// A greeting for `name`.
pub fn greeting(name: &str) -> String {
    let mut version = ryu::Buffer::new();
    format!("{} from the {name} {}", shout::shout!("hello"), version.format(1.0_f32))
}
