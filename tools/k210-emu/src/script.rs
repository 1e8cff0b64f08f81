//! Types scripts into MicroPython's raw REPL and takes their output apart.

use std::{collections::VecDeque, io::Write};

use crate::console::{Console, Input};

const PROMPT: &[u8] = b">>> ";
const RAW_PROMPT: &[u8] = b"raw REPL; CTRL-B to exit\r\n>";
const ACCEPTED: &[u8] = b"OK";
const ENTER_RAW: u8 = 0x01;
const END: u8 = 0x04;

/// How a script ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptEnd {
    /// It came to its end.
    Finished,
    /// It raised an exception; this is the traceback.
    Raised(String),
}

/// What has been seen of the dialogue.
enum State {
    Booting,
    EnteringRaw,
    Sending,
    Running,
    Failing(Vec<u8>),
    Ended(ScriptEnd),
}

/// A console that runs scripts, one after the other, until one raises.
pub struct Script {
    state: State,
    scripts: VecDeque<Vec<u8>>,
    to_type: VecDeque<u8>,
    /// The last bytes of the dialogue, for finding a prompt.
    tail: Vec<u8>,
    boot: Box<dyn Write>,
    output: Box<dyn Write>,
}

impl Script {
    /// Runs scripts; what they print goes to `output`, what the firmware prints before to `boot`.
    /// The names that one leaves in `__main__` are there for the next.
    pub fn new<S: AsRef<[u8]>>(
        scripts: impl IntoIterator<Item = S>,
        boot: Box<dyn Write>,
        output: Box<dyn Write>,
    ) -> Self {
        Self {
            state: State::Booting,
            scripts: scripts.into_iter().map(|script| script.as_ref().to_vec()).collect(),
            to_type: VecDeque::new(),
            tail: Vec::new(),
            boot,
            output,
        }
    }

    /// Types the next script, if there is one.
    fn begin(&mut self) -> bool {
        let Some(script) = self.scripts.pop_front() else { return false };
        self.to_type.extend(script);
        // Behind nothing at all, the end would mean a restart.
        self.to_type.extend([b'\n', END]);
        self.state = State::Sending;
        true
    }

    fn saw(&mut self, wanted: &[u8], byte: u8) -> bool {
        self.tail.push(byte);
        let surplus = self.tail.len().saturating_sub(wanted.len());
        self.tail.drain(..surplus);
        let found = self.tail == wanted;
        if found {
            self.tail.clear();
        }
        found
    }
}

impl Console for Script {
    fn output(&mut self, byte: u8) {
        match &mut self.state {
            State::Booting => {
                // A reader who went away does not end the run.
                let _ = self.boot.write_all(&[byte]);
                if self.saw(PROMPT, byte) {
                    let _ = self.boot.write_all(b"\n");
                    self.to_type.push_back(ENTER_RAW);
                    self.state = State::EnteringRaw;
                }
            }
            State::EnteringRaw => {
                if self.saw(RAW_PROMPT, byte) && !self.begin() {
                    self.state = State::Ended(ScriptEnd::Finished);
                }
            }
            State::Sending => {
                if self.saw(ACCEPTED, byte) {
                    self.state = State::Running;
                }
            }
            State::Running if byte == END => self.state = State::Failing(Vec::new()),
            State::Running if byte == b'\r' => {}
            State::Running => {
                let _ = self.output.write_all(&[byte]);
                if byte == b'\n' {
                    let _ = self.output.flush();
                }
            }
            State::Failing(text) if byte == END => {
                let text = String::from_utf8_lossy(text).replace('\r', "");
                let _ = self.output.flush();
                if !text.is_empty() {
                    self.state = State::Ended(ScriptEnd::Raised(text));
                } else if !self.begin() {
                    self.state = State::Ended(ScriptEnd::Finished);
                }
            }
            State::Failing(text) => text.push(byte),
            State::Ended(_) => {}
        }
    }

    fn input(&mut self) -> Input {
        self.to_type.pop_front().map_or(Input::Nothing, Input::Byte)
    }

    fn end(&mut self) -> Option<ScriptEnd> {
        match &self.state {
            State::Ended(end) => Some(end.clone()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, io, rc::Rc};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Rc<RefCell<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn typed(script: &mut Script) -> Vec<u8> {
        std::iter::from_fn(|| match script.input() {
            Input::Byte(byte) => Some(byte),
            _ => None,
        })
        .collect()
    }

    fn run(answer: &[u8]) -> (String, Option<ScriptEnd>) {
        let output = Shared::default();
        let mut script = Script::new([b"x()\n"], Box::new(io::sink()), Box::new(output.clone()));
        let say = |script: &mut Script, text: &[u8]| text.iter().for_each(|&b| script.output(b));
        say(&mut script, b"MicroPython\r\n>>");
        assert_eq!(typed(&mut script), b"");
        say(&mut script, b"> ");
        assert_eq!(typed(&mut script), [ENTER_RAW]);
        say(&mut script, b"\r\nraw REPL; CTRL-B to exit\r\n>");
        assert_eq!(typed(&mut script), b"x()\n\n\x04");
        say(&mut script, answer);
        let text = String::from_utf8(output.0.borrow().clone()).unwrap();
        (text, script.end())
    }

    #[test]
    fn output_and_end_are_told_apart() {
        assert_eq!(run(b"OK1\r\n2\r\n\x04\x04>"), ("1\n2\n".into(), Some(ScriptEnd::Finished)));
        assert_eq!(run(b"OK1\r\n"), ("1\n".into(), None));
        let raised = ScriptEnd::Raised("Traceback\nOSError: 5\n".into());
        assert_eq!(run(b"OK\x04Traceback\r\nOSError: 5\r\n\x04>"), ("".into(), Some(raised)));
    }

    #[test]
    fn scripts_follow_each_other_until_one_raises() {
        let scripts = ["a\n", "b\n", "c\n"];
        let mut script = Script::new(scripts, Box::new(io::sink()), Box::new(io::sink()));
        let say = |script: &mut Script, text: &[u8]| text.iter().for_each(|&b| script.output(b));
        say(&mut script, b">>> \r\nraw REPL; CTRL-B to exit\r\n>");
        assert_eq!(typed(&mut script), b"\x01a\n\n\x04");
        say(&mut script, b"OK1\x04\x04>");
        assert_eq!((typed(&mut script), script.end()), (b"b\n\n\x04".to_vec(), None));
        say(&mut script, b"OK2\x04ValueError\x04>");
        assert_eq!(typed(&mut script), b"");
        assert_eq!(script.end(), Some(ScriptEnd::Raised("ValueError".into())));
    }
}
