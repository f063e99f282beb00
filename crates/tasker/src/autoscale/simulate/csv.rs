//! Reads a trace from text, and says which line is broken and how.

use std::time::Duration;

use thiserror::Error;

use super::Trace;
use super::setup::LONGEST;

impl Trace {
    /// Reads a recorded trace: a line for each task with the time at which it came and the time that it
    /// took, in seconds, with a comma between.
    ///
    /// The first line may be a header. Blank lines, and what follows a `#`, are left out. Lines may stand
    /// in any order, because logs often do; tasks of the same moment come in the order of their lines. The
    /// times count from zero, so a log that begins at some other moment has it subtracted first.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tasker::autoscale::simulate::Trace;
    ///
    /// let trace = Trace::from_csv("time, service time\n0.0, 0.2\n0.5, 0.1 # a short one\n")?;
    /// assert_eq!(trace.arrivals().len(), 2);
    /// assert_eq!(trace.arrivals()[1].service, Duration::from_millis(100));
    ///
    /// let error = Trace::from_csv("0.0, 0.2\n0.5; 0.1\n").unwrap_err();
    /// assert_eq!(error.line(), 2);
    /// # Ok::<(), tasker::autoscale::simulate::CsvError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The first line that does not read as two numbers of seconds from 0 to a year, and a text without
    /// any task.
    pub fn from_csv(text: &str) -> Result<Self, CsvError> {
        let mut tasks = Vec::new();
        let mut is_first = true;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text); // some spreadsheets begin with that
        for (at, line) in text.lines().enumerate() {
            let content = line.split('#').next().unwrap_or("").trim();
            if content.is_empty() {
                continue;
            }
            let task = task(content);
            let is_header = is_first && content.split(',').all(|field| is_title(field.trim()));
            is_first = false;
            match task {
                Ok(task) => tasks.push(task),
                Err(_) if is_header => {}
                Err(problem) => {
                    return Err(CsvError { line: at + 1, content: shortened(line), problem });
                }
            }
        }
        if tasks.is_empty() {
            let line = text.lines().count().max(1);
            return Err(CsvError { line, content: String::new(), problem: Problem::Empty });
        }
        Ok(Self::new(tasks))
    }
}

/// Words, such as stand at the head of a column.
fn is_title(field: &str) -> bool {
    field.starts_with(|c: char| c.is_alphabetic() || c == '"') && field.parse::<f64>().is_err()
}

fn task(line: &str) -> Result<(Duration, Duration), Problem> {
    let fields: Vec<&str> = line.split(',').collect();
    let [at, service] = fields[..] else {
        return Err(Problem::Fields(fields.len()));
    };
    Ok((seconds("the time", at)?, seconds("the service time", service)?))
}

fn seconds(what: &'static str, field: &str) -> Result<Duration, Problem> {
    let field = field.trim();
    let seconds: f64 = field.parse().map_err(|_| Problem::NoNumber(what, shortened(field)))?;
    let duration = Duration::try_from_secs_f64(seconds).ok().filter(|d| *d <= LONGEST);
    duration.ok_or_else(|| Problem::OutOfRange(what, shortened(field)))
}

/// A line may be a whole file without line ends: an error shows its beginning.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A line that does not read as a task.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "line {line}: {problem}; expected `time, service time` in seconds, such as `12.5, 0.2`{}",
    quoted(.content)
)]
pub struct CsvError {
    line: usize,
    content: String,
    problem: Problem,
}

fn quoted(content: &str) -> String {
    if content.is_empty() { String::new() } else { format!("; it says `{content}`") }
}

impl CsvError {
    /// The number of the line, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
enum Problem {
    #[error("2 fields are needed, and there are {0}")]
    Fields(usize),
    #[error("{0} `{1}` is not a number")]
    NoNumber(&'static str, String),
    #[error("{0} `{1}` is not between 0 and a year of seconds")]
    OutOfRange(&'static str, String),
    #[error("the text ends without any task")]
    Empty,
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn headers_comments_blank_lines_and_disorder_are_allowed() {
        let plain = Trace::new([(ms(500), ms(100)), (ms(0), ms(200))]);
        for text in [
            "0, 0.2\n0.5, 0.1\n",
            "time,service\n0,0.2\n0.5,0.1",
            "\"time (s)\", \"service time (s)\"\r\n0,0.2\r\n0.5,0.1\r\n",
            "\u{feff}# recorded on a Monday\n\n time , service time\n0.5, 0.1 # short\n\n0.0,2e-1\n",
        ] {
            assert_eq!(Trace::from_csv(text).as_ref(), Ok(&plain), "{text}");
        }
    }

    #[test]
    fn a_broken_line_is_named_with_its_content_and_what_is_expected() {
        let table = [
            ("0, 0.2\n1", 2, "2 fields are needed, and there are 1"),
            ("0, 0.2\n\n1, 2, 3", 3, "2 fields are needed, and there are 3"),
            ("0, 0.2\n1, fast", 2, "the service time `fast` is not a number"),
            ("0, 0.2\ntime, service", 2, "the time `time` is not a number"), // a header only at the head
            ("x1, 0.2, 3", 1, "2 fields are needed, and there are 3"),
            ("0, -0.2", 1, "the service time `-0.2` is not between"),
            ("inf, 0.2", 1, "the time `inf` is not between"),
            ("NaN, 0.2", 1, "the time `NaN` is not between"),
            ("0, 1e300", 1, "the service time `1e300` is not between"),
            ("", 1, "without any task"),
            ("time, service\n# nothing\n", 2, "without any task"),
        ];
        for (text, line, words) in table {
            let error = Trace::from_csv(text).expect_err(text);
            assert_eq!(error.line(), line, "{text:?}: {error}");
            let shown = error.to_string();
            assert!(shown.contains(words) && shown.contains("`12.5, 0.2`"), "{shown}");
        }
        let shown = Trace::from_csv("0, 0.2\n1; 0.2").unwrap_err().to_string();
        assert!(shown.starts_with("line 2: ") && shown.ends_with("it says `1; 0.2`"), "{shown}");
    }

    #[test]
    fn a_very_long_line_is_shortened() {
        let error = Trace::from_csv(&"9".repeat(100_000)).unwrap_err();
        assert!(error.to_string().len() < 300);
    }
}
