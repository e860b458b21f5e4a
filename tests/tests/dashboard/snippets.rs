//! The snippets that the dashboard shows, run as printed; those in Go and Java
//! are not, for their tools are large.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use domain::signature::{Secret, body_signature};
use harness::deployment::{Deployment, Mode};
use harness::suite::Scenario;
use tokio::process::Command;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![each_snippet_tells_genuine_from_forged]
}

/// A program around a snippet. It takes secret, body and signature, and prints
/// true or false.
struct Around {
    snippet: &'static str,
    name: &'static str,
    program: &'static str,
    command: &'static [&'static str],
}

const AROUND: [Around; 4] = [
    Around {
        snippet: "verify.mjs",
        name: "main.mjs",
        program: "import { verify } from \"./verify.mjs\";\n\
                  const [secret, body, signature] = process.argv.slice(2);\n\
                  console.log(verify(secret, Buffer.from(body), signature));\n",
        command: &["node"],
    },
    Around {
        snippet: "verify.py",
        name: "main.py",
        program: "import sys\nfrom verify import verify\n\
                  secret, body, signature = sys.argv[1:]\n\
                  print(str(verify(secret, body.encode(), signature)).lower())\n",
        command: &["python3"],
    },
    Around {
        snippet: "verify.php",
        name: "main.php",
        program: "<?php\nrequire 'verify.php';\n\
                  [, $secret, $body, $signature] = $argv;\n\
                  echo json_encode(verify($secret, $body, $signature));\n",
        command: &["php"],
    },
    Around {
        snippet: "verify.rb",
        name: "main.rb",
        program: "require_relative \"verify\"\nputs verify(*ARGV)\n",
        command: &["ruby"],
    },
];

/// The Rust one is compiled into this test.
#[allow(unreachable_pub, reason = "it is shown as a file of its own")]
#[path = "../../../crates/control/src/dashboard/verify/snippets/verify.rs"]
mod rust;

async fn each_snippet_tells_genuine_from_forged(deployment: Arc<Deployment>) -> Result<()> {
    // They need no deployment, so once is enough.
    if deployment.mode() != Mode::Standalone {
        return Ok(());
    }
    let secret = Secret::from_random([7; 32]);
    let body = "{\"text\":\"gr\u{fc}\u{df}e \u{1f600}\"}";
    let signature = body_signature(&secret, body.as_bytes());
    let other = Secret::from_random([8; 32]);
    let cases = [
        (secret.expose(), body, signature.as_str(), true),
        (other.expose(), body, &signature, false),
        (secret.expose(), "{}", &signature, false),
        (secret.expose(), body, "", false),
        (secret.expose(), body, "not hex \u{e9}", false),
        (secret.expose(), body, &signature[..62], false),
    ];
    for (secret, body, signature, genuine) in cases {
        let told = rust::verify(secret, body.as_bytes(), signature);
        ensure!(told == genuine, "Rust: {signature:?}: {told}");
    }
    let snippets = harness::repository().join("crates/control/src/dashboard/verify/snippets");
    for around in &AROUND {
        let dir = deployment.dir().join(around.snippet.replace('.', "-"));
        std::fs::create_dir_all(&dir)?;
        std::fs::copy(snippets.join(around.snippet), dir.join(around.snippet))?;
        std::fs::write(dir.join(around.name), around.program)?;
        for (secret, body, signature, genuine) in cases {
            let told = around.run(&dir, &[secret, body, signature]).await?;
            ensure!(
                told == genuine.to_string(),
                "{}: {signature:?}: {told}",
                around.snippet
            );
        }
    }
    Ok(())
}

impl Around {
    async fn run(&self, dir: &Path, arguments: &[&str]) -> Result<String> {
        let (program, first) = self.command.split_first().context("a command")?;
        let mut command = Command::new(program);
        command
            .args(first)
            .arg(self.name)
            .args(arguments)
            .current_dir(dir)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = timeout(LIMIT, command.output()).await??;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {errors}", self.snippet);
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}
