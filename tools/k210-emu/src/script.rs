//! Types a script into MicroPython's raw REPL and takes its output apart.

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

/// A console that runs one script.
pub struct Script {
    state: State,
    script: Vec<u8>,
    to_type: VecDeque<u8>,
    /// The last bytes of the dialogue, for finding a prompt.
    tail: Vec<u8>,
    boot: Box<dyn Write>,
    output: Box<dyn Write>,
}

impl Script {
    /// Runs `script`; what it prints goes to `output`, what the firmware prints before to `boot`.
    pub fn new(script: &[u8], boot: Box<dyn Write>, output: Box<dyn Write>) -> Self {
        Self {
            state: State::Booting,
            script: script.to_vec(),
            to_type: VecDeque::new(),
            tail: Vec::new(),
            boot,
            output,
        }
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
                if self.saw(RAW_PROMPT, byte) {
                    self.to_type.extend(std::mem::take(&mut self.script));
                    // Behind nothing at all, the end would mean a restart.
                    self.to_type.extend([b'\n', END]);
                    self.state = State::Sending;
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
                self.state = State::Ended(match text.is_empty() {
                    true => ScriptEnd::Finished,
                    false => ScriptEnd::Raised(text),
                });
                let _ = self.output.flush();
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
        let mut script = Script::new(b"x()\n", Box::new(io::sink()), Box::new(output.clone()));
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
}
