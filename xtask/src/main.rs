//! Runs the chores of the workspace: `cargo xtask tidy` holds the rules that no lint can hold.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool speaks by printing"
)]

mod tidy;

use std::process::ExitCode;

const HELP: &str = "\
The chores of the tasker workspace.

Usage: cargo xtask <command>

Commands:
  tidy    check the rules of the source tree that no lint can hold
  help    print this text

`cargo test -p xtask` runs the same check as `cargo xtask tidy`.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match Command::from_words(&words) {
        Ok(Command::Help) => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Command::Tidy) => tidy(),
        Err(message) => {
            eprintln!("error: {message}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Command {
    Help,
    Tidy,
}

impl Command {
    fn from_words(words: &[&str]) -> Result<Self, String> {
        match words {
            [] | ["help" | "--help" | "-h"] => Ok(Self::Help),
            ["tidy"] => Ok(Self::Tidy),
            ["tidy", extra, ..] => Err(format!("`tidy` takes no argument, but got `{extra}`")),
            [unknown, ..] => Err(format!("there is no command `{unknown}`")),
        }
    }
}

fn tidy() -> ExitCode {
    match tidy::check_workspace() {
        Err(error) => {
            eprintln!("error: the source tree cannot be read: {error}");
            ExitCode::FAILURE
        }
        Ok(report) => {
            for problem in &report.problems {
                println!("{problem}");
            }
            if report.problems.is_empty() {
                println!("tidy: {} files read, nothing to mend", report.files);
                return ExitCode::SUCCESS;
            }
            eprintln!("error: tidy found {} things to mend", report.problems.len());
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Command;

    #[test]
    fn no_argument_asks_for_help() {
        assert_eq!(Command::from_words(&[]), Ok(Command::Help));
        assert_eq!(Command::from_words(&["--help"]), Ok(Command::Help));
    }

    #[test]
    fn tidy_is_a_command_without_arguments() {
        assert_eq!(Command::from_words(&["tidy"]), Ok(Command::Tidy));
        assert!(Command::from_words(&["tidy", "--fix"]).is_err());
    }

    #[test]
    fn an_unknown_command_is_named_in_the_error() {
        let error = Command::from_words(&["publish"]).unwrap_err();
        assert!(error.contains("`publish`"), "{error}");
    }
}
