//! How to verify `X-Webhook-Signature`. Each is a whole file; tests run all but
//! those in Go and Java.

pub(in crate::dashboard) struct Snippet {
    /// In the address.
    pub(in crate::dashboard) word: &'static str,
    pub(in crate::dashboard) name: &'static str,
    pub(in crate::dashboard) code: &'static str,
}

macro_rules! snippet {
    ($word:literal, $name:literal, $file:literal) => {
        Snippet {
            word: $word,
            name: $name,
            code: include_str!(concat!("snippets/", $file)),
        }
    };
}

pub(super) const SNIPPETS: &[Snippet] = &[
    snippet!("node", "Node.js", "verify.mjs"),
    snippet!("python", "Python", "verify.py"),
    snippet!("go", "Go", "verify.go"),
    snippet!("rust", "Rust", "verify.rs"),
    snippet!("php", "PHP", "verify.php"),
    snippet!("ruby", "Ruby", "verify.rb"),
    snippet!("java", "Java", "Verify.java"),
];
