//! `include/mimi.h` is what cbindgen makes of the sources. `MIMI_WRITE_HEADER=1 cargo test -p mimi-capi --test header` writes it.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

#[test]
fn the_header_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = Vec::new();
    cbindgen::generate(root).unwrap().write(&mut text);
    let (text, path) = (String::from_utf8(text).unwrap(), root.join("include/mimi.h"));
    if std::env::var_os("MIMI_WRITE_HEADER").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == text,
        "include/mimi.h is not what the sources say: write it anew, as the first line of this test says"
    );
}
